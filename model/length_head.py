"""Horizon-length prediction: how much of the middle is still to come (arXiv 2410.03103).

At each token of a middle of M tokens the head predicts the share that is left, (M - t) / M, from
the hidden state. Stopping at the right place is where fill-in-the-middle fails most, and the next
token alone hardly rewards planning for it. The head is thrown away after training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LengthHead(nn.Module):
    """A linear map to one number, and a sigmoid, trained with the L1 loss.

    It starts at zero, which predicts one half everywhere.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        # A module of its own: ZeRO 3 gathers weights when the module that holds them is called.
        self.projection = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def loss(self, hidden: Tensor, middle_left: Tensor) -> tuple[Tensor, int]:
        """Sum of absolute errors, float32 ``[]``, and the number of tokens in it.

        ``hidden`` is ``[B, T, D]``, ``middle_left`` float32 ``[B, T]`` from 0 to 1, NaN outside of
        middles. Without any middle the sum is 0 and still depends on all weights, with gradients of
        0, as workers that reduce gradients together need it.
        """
        known = middle_left.isfinite()
        predicted = self.projection(hidden).squeeze(-1).float().sigmoid()
        # A NaN would reach the gradient even where it is masked.
        errors = (predicted - middle_left.nan_to_num()).abs()
        return torch.where(known, errors, 0.0).sum(), int(known.sum())
