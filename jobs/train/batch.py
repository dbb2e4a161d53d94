"""Packed rows as the tensors that a training pass takes.

A target stands at the position that predicts it: what is at t belongs to the token at t + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from treespan.model.attention import document_ids, document_positions
from treespan.model.loss import IGNORED


class Tags(NamedTuple):
    """What a loss is told apart by."""

    objective: str
    language: str
    strategy: str


@dataclass(frozen=True)
class Row:
    """A packed row of T tokens in D documents and S segments, as a shard has it."""

    tokens: NDArray[np.int32]  # [T]
    loss_mask: NDArray[np.uint8]  # [T]; 1 where the token is a target
    document_lengths: NDArray[np.int32]  # [D]; they sum to T less the padding
    segment_lengths: NDArray[np.int32]  # [S]; they sum to the same, one right after the other
    middle_starts: NDArray[np.int32]  # [S]; -1 for a segment without a hole
    middle_lengths: NDArray[np.int32]  # [S]
    tags: Sequence[Tags]  # of each segment


@dataclass(frozen=True)
class Batch:
    """Rows ready for the model, on the CPU. B rows of T tokens."""

    tokens: Tensor  # int64 [B, T]
    targets: Tensor  # int64 [B, T]; loss.IGNORED where nothing is to be predicted
    documents: Tensor  # int64 [B, T]; which document of its row a token belongs to
    positions: Tensor  # int64 [B, T]; a token's place in its document
    segments: Tensor  # int64 [B, T]; index into ``tags`` of the target's segment, -1 without one
    tags: tuple[Tags, ...]  # of the segments of all rows, each once
    middle_left: Tensor  # float32 [B, T]; share of the middle still to come after this token, 0 to
    # 1, within a middle (its first token's predecessor included); NaN elsewhere


def batch_of(rows: Sequence[Row | None], seq_len: int) -> Batch:
    """``rows`` of ``seq_len`` tokens as one batch. None is a blank row, which has no targets."""
    shape = (len(rows), seq_len)
    tokens = np.zeros(shape, np.int64)
    is_target = np.zeros(shape, np.bool_)
    segments = np.full(shape, -1, np.int64)
    middle_left = np.full(shape, np.nan, np.float32)
    tag_ids: dict[Tags, int] = {}
    for index, row in enumerate(rows):
        if row is None:
            continue
        tokens[index] = row.tokens
        is_target[index, :-1] = row.loss_mask[1:]
        ids = np.array([tag_ids.setdefault(tags, len(tag_ids)) for tags in row.tags], np.int64)
        by_token = np.repeat(ids, row.segment_lengths)
        segments[index, : max(0, len(by_token) - 1)] = by_token[1:]
        _fill_middle_left(middle_left[index], row)
    targets = np.full(shape, IGNORED, np.int64)
    np.copyto(targets[:, :-1], tokens[:, 1:], where=is_target[:, :-1])
    segments[~is_target] = -1
    lengths = [[] if row is None else row.document_lengths.tolist() for row in rows]
    documents = document_ids(lengths, seq_len)
    return Batch(
        tokens=torch.from_numpy(tokens),
        targets=torch.from_numpy(targets),
        documents=documents,
        positions=document_positions(documents),
        segments=torch.from_numpy(segments),
        tags=tuple(tag_ids),
        middle_left=torch.from_numpy(middle_left),
    )


def _fill_middle_left(shares: NDArray[np.float32], row: Row) -> None:
    """Write the shares of ``Batch.middle_left`` of one row, float32 [T], in place.

    An empty middle has its predecessor alone, of which nothing is to come.
    """
    masked = np.flatnonzero(row.middle_starts >= 0)
    spans = zip(
        row.middle_starts[masked].tolist(), row.middle_lengths[masked].tolist(), strict=True
    )
    for start, length in spans:
        left = np.arange(length, -1, -1, dtype=np.float32)
        shares[start - 1 : start + length] = left / max(1, length)
