"""Segments of documents into rows of equal length: best fit, nothing cut. A pure function.

The segments of a document that fit one row together stay together and see each other; a document
longer than a row goes on in the next in order. These chunks are then fitted into rows, the longest
first, each into the row where it leaves the least room (best-fit decreasing). Where that leaves too
much padding, the chunks of rows with a gap are halved between segments and all is fitted again: groups
of files are about as long as a row, and few are short enough to fill gaps.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from treespan.jobs.pack.segments import Segment

MAX_PADDING = 0.005
"""Share of a row that may be padding before its chunks are halved (ours): half of the one percent
that is promised, since each part is packed for itself."""

MAX_ROUNDS = 6
"""Of halving (ours): 64 files to a row are single by then, and the last rounds gain little."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive segments of one document that share attention; at most a row long."""

    segments: Sequence[Segment]

    @cached_property
    def length(self) -> int:
        """Tokens of all segments."""
        return sum(len(segment.tokens) for segment in self.segments)


def chunks_of(segments: Iterable[Segment], seq_len: int) -> Iterator[Chunk]:
    """A document's segments joined, in order, for as long as they fit a row."""
    current: list[Segment] = []
    length = 0
    for segment in segments:
        tokens = len(segment.tokens)
        if current and length + tokens > seq_len:
            yield Chunk(current)
            current, length = [], 0
        current.append(segment)
        length += tokens
    if current:
        yield Chunk(current)


def rows_of(chunks: Sequence[Chunk], seq_len: int) -> list[list[Chunk]]:
    """All ``chunks``, some of them halved, in rows of at most ``seq_len`` tokens.

    Rows come in the order of their first chunks, and so do the chunks of a row. A round of halving
    that saves no row is not made: files that were taken apart see each other no more.
    """
    pieces = list(chunks)
    tokens = sum(chunk.length for chunk in pieces)
    rows = best_fit([chunk.length for chunk in pieces], seq_len)
    for _ in range(MAX_ROUNDS):
        loose = _with_gaps(pieces, rows, seq_len)
        if not loose or len(rows) == -(-tokens // seq_len):
            break
        halved = [part for i, chunk in enumerate(pieces) for part in _parts(chunk, i in loose)]
        fewer = best_fit([chunk.length for chunk in halved], seq_len)
        if len(fewer) == len(rows):
            break
        pieces, rows = halved, fewer
    return [[pieces[index] for index in sorted(row)] for row in sorted(rows, key=min)]


def best_fit(lengths: Sequence[int], seq_len: int) -> list[list[int]]:
    """Indices of ``lengths`` grouped into rows of at most ``seq_len``, in the order of opening.

    O(n log n): rows are kept sorted by the room that they have left.
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


def _with_gaps(chunks: Sequence[Chunk], rows: Sequence[Sequence[int]], seq_len: int) -> set[int]:
    """The chunks of several segments that lie in rows with a gap."""
    return {
        index
        for row in rows
        if seq_len - sum(chunks[index].length for index in row) > MAX_PADDING * seq_len
        for index in row
        if len(chunks[index].segments) > 1
    }


def _parts(chunk: Chunk, is_loose: bool) -> list[Chunk]:
    if not is_loose:
        return [chunk]
    middle = len(chunk.segments) // 2
    return [Chunk(chunk.segments[:middle]), Chunk(chunk.segments[middle:])]
