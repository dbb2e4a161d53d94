"""Holes that are cut without a look at the syntax tree. Pure functions of a text and a generator.

Each draws within bytes [low, high) and returns None if there is no room for a hole.
"""

from __future__ import annotations

from random import Random

import numpy as np

from treespan.model.span_source import Span, SpanSource

ATTEMPTS = 8
"""Draws before a text is given up (ours): only blanks or broken characters need more than one."""


def fim_span(source: SpanSource, low: int, high: int, rng: Random) -> Span | None:
    """Between two uniform characters (Bavarian et al. 2022, character level)."""
    if high - low < 2:
        return None
    for _ in range(ATTEMPTS):
        cuts = (source.character_start(low + rng.randrange(high - low + 1)) for _ in range(2))
        start, end = sorted(cuts)
        if start < end:
            return Span(start, end)
    return None


def line_span(source: SpanSource, low: int, high: int, rng: Random) -> Span | None:
    """Whole lines: a uniform pair of a first and a last line, without the last one's line feed."""
    first, last = np.searchsorted(source.line_ends, (low, high), side="left")
    ends = source.line_ends[first : last + 1]
    ends = ends[ends <= high]
    if not len(ends):
        return None
    for _ in range(ATTEMPTS):
        one, other = sorted(rng.randrange(len(ends)) for _ in range(2))
        start = _line_start(source, int(ends[one]), low)
        if not source.is_blank(start, int(ends[other])):
            return Span(start, int(ends[other]))
    return None


def moved_span(source: SpanSource, low: int, high: int, rng: Random, length: int) -> Span | None:
    """``length`` bytes at a uniform place; a character more or less where one would be cut."""
    start = source.character_start(low + rng.randrange(max(1, high - low - length + 1)))
    end = source.character_start(min(high, start + length))
    return Span(start, end) if low <= start < end else None


def line_end_span(source: SpanSource, low: int, high: int, rng: Random, length: int) -> Span | None:
    """As ``moved_span``, and the hole ends at the line end nearest to where it would have ended."""
    ends = source.line_ends
    ends = ends[
        np.searchsorted(ends, low, side="right") : np.searchsorted(ends, high, side="right")
    ]
    if not len(ends):
        return None
    for _ in range(ATTEMPTS):
        moved = moved_span(source, low, high, rng, length)
        if moved is None:
            return None
        after = ends[np.searchsorted(ends, moved.start, side="right") :]
        if len(after):
            end = int(after[np.abs(after - moved.end).argmin()])
            if not source.is_blank(moved.start, end):
                return Span(moved.start, end)
    return None


def _line_start(source: SpanSource, line_end: int, low: int) -> int:
    return max(low, source.data.rfind(b"\n", 0, line_end) + 1)
