"""A running mean of the weights, which forgets at a constant rate.

Averaged weights generalise better than the last ones while the learning rate is high (Polyak and
Juditsky 1992; for language models arXiv 2306.03241).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import expm1, log
from typing import Any

import torch
from torch import Tensor


class Ema:
    """The mean of all weights seen, each ``decay`` times as heavy as the next.

    ``mean_n = sum(decay^(n-i) w_i) / sum(decay^(n-i))``: bias-corrected as Adam's moments are
    (arXiv 1412.6980, section 3), so the first update gives the first weights, and the random weights
    that training started from have no share. (A decay that is warmed up, the other usual way, has
    the same end and a constant more to choose.) The division is folded into the step size, so
    ``mean`` can be read at any time.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"decay {decay} is not between 0 and 1")
        self.decay = decay
        self.updates = 0
        self.mean: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, fragments: Mapping[str, Tensor]) -> None:
        """Take in weights, in place: float32 of any shape, the same names and shapes every time.

        A fragment may be any part of a parameter, since every element has a mean of its own: a
        worker averages what ZeRO gave it. Raises ``ValueError`` for other names than before, or
        another dtype: in bfloat16 a step of 1 - decay would be rounded away.
        """
        if wrong := sorted(name for name, part in fragments.items() if part.dtype != torch.float32):
            raise ValueError(f"{wrong[0]} is not float32")
        if not self.updates:
            self.mean = {name: torch.zeros_like(part) for name, part in fragments.items()}
        if fragments.keys() != self.mean.keys():
            raise ValueError(f"other fragments than before: {fragments.keys() ^ self.mean.keys()}")
        self.updates += 1
        share = (1 - self.decay) / -expm1(self.updates * log(self.decay))
        for name, part in fragments.items():
            self.mean[name].lerp_(part, share)

    def state_dict(self) -> dict[str, Any]:
        """``updates`` and ``mean``, which is shared, not copied."""
        return {"updates": self.updates, "mean": dict(self.mean)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``; its tensors are taken over as they are."""
        self.updates, self.mean = state["updates"], dict(state["mean"])
