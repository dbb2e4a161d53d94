"""Low-rank adapters (LoRA, arXiv 2106.09685): few weights are trained, in place of all.

An adapted matrix W computes W x + (alpha / rank) B A x, where only A and B are trained. B starts at
zero, so a model with fresh adapters is the model without. There is no dropout: it would draw random
numbers, and a resumed run would no longer be the whole one.

An adapted matrix keeps the name of its weight; its factors are ``lora_a`` and ``lora_b`` beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from treespan.model.transformer import Transformer
from treespan.platform.draws import hash64
from treespan.platform.errors import UserError

_FACTORS = ("lora_a", "lora_b")


@dataclass(frozen=True)
class Adapters:
    """Which matrices are adapted, and how."""

    rank: int
    alpha: float
    targets: tuple[str, ...]
    """Last parts of names, such as ``q_proj``."""
    train_embeddings: bool = False
    """Whether the embedding and the output projection are trained too, whole."""

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied with."""
        return self.alpha / self.rank


class LoraLinear(nn.Linear):
    """A frozen linear map with an adapter. The weight is that of ``base``, not a copy."""

    def __init__(self, base: nn.Linear, rank: int, scale: float) -> None:
        super().__init__(base.in_features, base.out_features, bias=False, device="meta")
        self.weight, self.bias = base.weight, base.bias
        self.scale = scale
        self.lora_a = nn.Parameter(base.weight.new_zeros(rank, base.in_features))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., in]`` to ``[..., out]``, in the dtype of the weights."""
        low = F.linear(x, self.lora_a) * self.scale
        return F.linear(x, self.weight, self.bias) + F.linear(low, self.lora_b)


def add_adapters(transformer: Transformer, adapters: Adapters, seed: int) -> None:
    """Adapt the target matrices of all blocks, in place, and freeze everything else.

    A is uniform within 1 / sqrt(in) (Kaiming, as in the paper's code), B zero. Each A is drawn in
    float32 on the CPU from the hash of (seed, its name): the same for every device, dtype, number of
    workers and choice of targets. Raises ``UserError`` for a target that no block has.
    """
    blocks = transformer.model.layers
    linear = {name: part for name, part in blocks.named_modules() if isinstance(part, nn.Linear)}
    known = {name.rpartition(".")[2] for name in linear}
    if unknown := sorted(set(adapters.targets) - known):
        raise UserError(
            f"lora.targets: the model has no matrix {unknown[0]!r}.",
            f"Choose among {', '.join(sorted(known))}.",
        )
    transformer.requires_grad_(False)
    for name, base in linear.items():
        parent, _, last = name.rpartition(".")
        if last in adapters.targets:
            adapted = LoraLinear(base, adapters.rank, adapters.scale)
            _draw(adapted.lora_a, seed, f"model.layers.{name}")
            setattr(blocks.get_submodule(parent), last, adapted)
    if adapters.train_embeddings:
        transformer.model.embed_tokens.requires_grad_(True)
        transformer.lm_head.requires_grad_(True)


@torch.no_grad()
def _draw(factor: Tensor, seed: int, name: str) -> None:
    generator = torch.Generator().manual_seed(hash64(seed, "lora", name))
    bound = 1 / math.sqrt(factor.shape[1])
    draw = torch.empty(factor.shape, dtype=torch.float32)
    factor.copy_(draw.uniform_(-bound, bound, generator=generator))


def adapter_state(state: Mapping[str, Tensor], adapters: Adapters) -> dict[str, Tensor]:
    """Those tensors of a state that are trained, by their names in the model.

    Of tied embeddings a state may hold one name or both; they are passed on as they are.
    """
    names = ("model.embed_tokens.weight", "lm_head.weight") if adapters.train_embeddings else ()
    return {name: t for name, t in state.items() if name.endswith(_FACTORS) or name in names}


def merged_state(state: Mapping[str, Tensor], adapters: Adapters) -> Iterator[tuple[str, Tensor]]:
    """The weights of an equal model without adapters, by the names that it has without them.

    Products are computed in float32 and then cast to the dtype of the weight. One matrix at a time
    is made anew.
    """
    for name, tensor in state.items():
        if name.endswith(_FACTORS):
            continue
        module = name.removesuffix("weight")
        if f"{module}lora_a" not in state:
            yield name, tensor
            continue
        a, b = (state[module + factor].float() for factor in _FACTORS)
        yield name, torch.addmm(tensor.float(), b, a, alpha=adapters.scale).to(tensor.dtype)
