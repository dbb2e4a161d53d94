"""Segments of documents into rows of equal length: best fit, nothing cut. A pure function.

The segments of a document that fit one row together stay together and see each other; a document
longer than a row goes on in the next in order. These chunks are then fitted into rows, the longest
first, each into the row where it leaves the least room (best-fit decreasing).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from treespan.jobs.pack.segments import Segment


@dataclass(frozen=True)
class Chunk:
    """Consecutive segments of one document that share attention; at most a row long."""

    segments: Sequence[Segment]
    length: int


def chunks_of(segments: Iterable[Segment], seq_len: int) -> Iterator[Chunk]:
    """A document's segments joined, in order, for as long as they fit a row."""
    current: list[Segment] = []
    length = 0
    for segment in segments:
        tokens = len(segment.tokens)
        if current and length + tokens > seq_len:
            yield Chunk(current, length)
            current, length = [], 0
        current.append(segment)
        length += tokens
    if current:
        yield Chunk(current, length)


def best_fit(lengths: Sequence[int], seq_len: int) -> list[list[int]]:
    """Indices of ``lengths`` grouped into rows of at most ``seq_len``.

    Rows come in the order in which they were opened. O(n log n): rows are kept sorted by the room
    that they have left.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    rows: list[list[int]] = []
    open_rows: list[tuple[int, int]] = []  # (room left, row), ascending
    for index in order:
        length = lengths[index]
        if length > seq_len:
            raise ValueError(f"chunk {index} has {length} tokens, over the {seq_len} of a row")
        at = bisect_left(open_rows, (length, -1))
        if at < len(open_rows):
            room, row = open_rows.pop(at)
        else:
            room, row = seq_len, len(rows)
            rows.append([])
        rows[row].append(index)
        if room > length:
            insort(open_rows, (room - length, row))
    return rows


def lay_out(chunks: Sequence[Chunk], seq_len: int, pad: int) -> dict[str, Any]:
    """One row of the ``shards`` schema from the chunks that share it."""
    tokens = np.full(seq_len, pad, np.int32)
    loss_mask = np.zeros(seq_len, np.uint8)
    segments: list[dict[str, Any]] = []
    at = 0
    for chunk in chunks:
        loss_mask[at : at + chunk.length] = 1
        # Nothing stands before a document's first token, so nothing can predict it.
        loss_mask[at] = 0
        for segment in chunk.segments:
            tokens[at : at + len(segment.tokens)] = segment.tokens
            masked = segment.middle_start >= 0
            segments.append(
                {
                    "file_id": segment.file.file_id,
                    "start": at,
                    "length": len(segment.tokens),
                    "middle_start": at + segment.middle_start if masked else -1,
                    "middle_length": segment.middle_length,
                    "middle_bytes": segment.middle_bytes,
                    "objective": segment.objective,
                    "order": segment.order or "",
                    "node_type": segment.node_type,
                    "kind": "",
                    "fallback": segment.fallback,
                    "language": segment.file.language,
                    "strategy": segment.file.strategy,
                }
            )
            at += len(segment.tokens)
    return {
        "tokens": tokens,
        "document_lengths": [chunk.length for chunk in chunks],
        "loss_mask": loss_mask,
        "segments": segments,
    }
