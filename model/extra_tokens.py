"""Multi-token prediction: each position also predicts the tokens after the next one.

Of the variants in arXiv 2404.19737 this is that of independent heads with linear maps (appendix B):
head k maps the hidden state once more, and all share the output projection. Heads of a transformer
layer each (section 2, and arXiv 2412.19437) would attend, and so would need masks, positions and
their share of sequence parallelism for something that is thrown away after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from treespan.model.config import ModelConfig
from treespan.model.loss import IGNORED, token_losses


class ExtraTokens(nn.Module):
    """``ahead`` heads: the identity plus a matrix that starts at zero.

    So each starts as the head of the next token, and weight decay draws it back there.
    """

    def __init__(self, config: ModelConfig, ahead: int) -> None:
        super().__init__()
        size = config.hidden_size
        heads = [nn.Linear(size, size, bias=False) for _ in range(ahead)]
        for head in heads:
            nn.init.zeros_(head.weight)
        self.heads = nn.ModuleList(heads)

    def loss(
        self, hidden: Tensor, output_weight: Tensor, targets: Tensor, documents: Tensor
    ) -> tuple[Tensor, int]:
        """Sum of the cross-entropies of all heads in nats, float32 ``[]``, and their number.

        ``hidden`` is ``[B, T, D]``, ``output_weight`` ``[V, D]``; ``targets`` int64 ``[B, T]`` are
        those of the next token, ``documents`` int64 ``[B, T]``. Logits are bounded by
        ``token_losses``, one head at a time. Without any target the sum is 0 and still depends on
        all weights.
        """
        total, count = hidden.new_zeros((), dtype=torch.float32), 0
        for ahead, head in enumerate(self.heads, start=1):
            wanted = targets_ahead(targets, documents, ahead)
            total = total + token_losses(hidden + head(hidden), output_weight, wanted).sum()
            count += int((wanted != IGNORED).sum())
        return total, count


def targets_ahead(targets: Tensor, documents: Tensor, ahead: int) -> Tensor:
    """What each position predicts ``ahead`` tokens beyond the next one, int64 ``[B, T]``.

    That is the target of the position ``ahead`` further on, if it is of the same document and of
    this part of the row; otherwise ``IGNORED``.
    """
    moved = torch.full_like(targets, IGNORED)
    same = documents[:, ahead:] == documents[:, :-ahead]
    moved[:, :-ahead] = torch.where(same, targets[:, ahead:], IGNORED)
    return moved
