"""Packed rows as the tensors that a training pass takes.

A target stands at the position that predicts it: what is at t belongs to the token at t + 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor


class Tags(NamedTuple):
    """What a loss is told apart by."""

    objective: str
    language: str
    strategy: str


@dataclass(frozen=True)
class Batch:
    """Rows ready for the model, on the CPU. B rows of T tokens."""

    tokens: Tensor  # int64 [B, T]
    targets: Tensor  # int64 [B, T]; loss.IGNORED where nothing is to be predicted
    documents: Tensor  # int64 [B, T]; which document of its row a token belongs to
    positions: Tensor  # int64 [B, T]; a token's place in its document
    segments: Tensor  # int64 [B, T]; index into ``tags`` of the target's segment, -1 without one
    tags: tuple[Tags, ...]  # of the segments of all rows
    middle_left: Tensor  # float32 [B, T]; share of the middle still to come after this token, 0 to
    # 1, within a middle (its first token's predecessor included); NaN elsewhere
