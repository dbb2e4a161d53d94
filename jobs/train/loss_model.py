"""The transformer with its losses, as DeepSpeed wants it: all weights used in one forward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from treespan.jobs.train.config import HeadsConfig
from treespan.model.extra_tokens import ExtraTokens
from treespan.model.length_head import LengthHead
from treespan.model.loss import token_losses
from treespan.model.packed_attention import PackedRows
from treespan.model.transformer import Transformer

HEAD_MODULES = ("length_head.", "extra_tokens.")
"""How the names of their weights begin; all of them start at zero."""
HEADS = ("length", "extra_tokens")
"""Losses beside that of the next token, in the order in which ``forward`` returns them."""


class LossModel(nn.Module):
    """Losses of packed rows. B rows of T tokens."""

    def __init__(self, transformer: Transformer, heads: HeadsConfig) -> None:
        super().__init__()
        self.transformer = transformer
        shape = transformer.config
        self.length_head = LengthHead(shape.hidden_size) if heads.length_weight else None
        self.extra_tokens = ExtraTokens(shape, heads.extra_tokens) if heads.extra_tokens else None
        # The further tokens' losses are summed over their heads; the weight is that of the mean.
        each = heads.extra_tokens_weight / max(1, heads.extra_tokens)
        self._weights = (heads.length_weight, each)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        rows: PackedRows,
        targets: Tensor,
        documents: Tensor,
        middle_left: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Losses of all targets, their weighted sum with the heads', and the heads' own.

        float32 ``[B, T]``, 0 where nothing is to be predicted; float32 ``[]``, to be differentiated;
        float32 ``[2, 2]``, sum and count of each of ``HEADS``.
        """
        hidden = self.transformer(tokens, positions, rows)
        output_weight = self.transformer.output_weight
        losses = token_losses(hidden, output_weight, targets)
        total = losses.sum()
        heads = torch.zeros(len(HEADS), 2, device=losses.device)
        found: list[tuple[Tensor, int] | None] = [None, None]
        if self.length_head is not None:
            found[0] = self.length_head.loss(hidden, middle_left)
        if self.extra_tokens is not None:
            found[1] = self.extra_tokens.loss(hidden, output_weight, targets, documents)
        for place, (head, weight) in enumerate(zip(found, self._weights, strict=True)):
            if head is not None:
                total = total + weight * head[0]
                heads[place, 0], heads[place, 1] = head[0].detach(), head[1]
        return losses.detach(), total, heads


class CastWeights(nn.Module):
    """A model whose float32 weights are cast to bfloat16 for every forward.

    What ZeRO 1 to 3 do with a second copy of the weights, without ZeRO: each gradient comes back
    in bfloat16 and is summed in float32. Names of parameters are those of ``inner``.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any) -> Any:
        """As ``inner`` does."""
        narrow = {name: weight.bfloat16() for name, weight in self.inner.named_parameters()}
        return functional_call(self.inner, narrow, args)


def named_weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters by the names that training states have, whatever is wrapped around the model."""
    for name, parameter in model.named_parameters():
        yield name.removeprefix("inner."), parameter
