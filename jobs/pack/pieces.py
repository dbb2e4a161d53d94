"""A file too long for a row, cut at line ends into pieces that fit: a pure function.

A file that fits is one piece and is never cut. Objectives are applied to each piece for itself, so
no token of a long file is lost and no hole is ever cut by the end of a row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

SEAM_TOKENS = 6
"""Room kept for what encoding prefix, middle and suffix apart costs over encoding the whole: a cut
breaks a token at either seam, into two or three. A piece that needs more falls back to plain
next-token prediction, and is counted."""


def cut_pieces(
    offsets: Sequence[tuple[int, int]], line_starts: Sequence[int], length: int, budget: int
) -> list[tuple[int, int]]:
    """Character ranges that cover [0, length), each of at most ``budget`` tokens.

    ``offsets`` are the character ranges of the text's tokens; ``line_starts`` the characters at
    which lines start, beginning with 0. Cuts fall on line starts, and within a line only if the
    line alone is over the budget.
    """
    if len(offsets) <= budget:
        return [(0, length)]
    token_starts = [start for start, _ in offsets]
    pieces: list[tuple[int, int]] = []
    start, first = 0, 0
    while len(offsets) - first > budget:
        limit = token_starts[first + budget]
        line = line_starts[bisect_right(line_starts, limit) - 1]
        # Several tokens may share a character; a cut there would give the piece no text.
        cut = line if line > start else max(limit, start + 1)
        pieces.append((start, cut))
        start = cut
        first = max(first + 1, bisect_right(token_starts, cut - 1))
    if start < length:
        pieces.append((start, length))
    return pieces


def line_starts_of(text: str) -> list[int]:
    """The characters at which the lines of ``text`` start."""
    starts, at = [0], text.find("\n")
    while at >= 0 and at + 1 < len(text):
        starts.append(at + 1)
        at = text.find("\n", at + 1)
    return starts
