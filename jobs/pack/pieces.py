"""A file too long for a row, cut into pieces that fill rows: pure functions.

A file that fits is one piece and is never cut. Objectives are applied to each piece for itself, so
no token of a long file is lost and no hole is ever cut by the end of a row.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from treespan.model.span_source import character_start
from treespan.model.tokenizer import Tokenizer

LINE_TOLERANCE = 128
"""A piece ends at a line start if that leaves at most this part of a row empty (ours): 64 tokens, or
some six lines, of 8,192; in short rows whole lines would cost more padding than they are worth."""


class LongText:
    """A text with the places where its tokens end, to cut pieces of a number of tokens from."""

    def __init__(self, text: str, data: bytes, tokenizer: Tokenizer, seq_len: int) -> None:
        """``data`` is ``text`` in UTF-8; ``seq_len`` the tokens of a row."""
        self._data = data
        self._tokenizer = tokenizer
        self._tolerance = seq_len // LINE_TOLERANCE
        self._ends = token_ends(text, data, tokenizer)

    def tokens_from(self, start: int) -> int:
        """Tokens of the text that end after byte ``start``."""
        return len(self._ends) - int(np.searchsorted(self._ends, start, side="right"))

    def reach(self, start: int, room: int) -> int:
        """About where ``fit`` would end, without encoding anything."""
        if room <= 0 or not len(self._ends):
            return start
        end = self._end_of(start, room)
        return self._near_line(start, end) or end

    def fit(self, start: int, room: int) -> tuple[int, list[int]]:
        """The end of the longest run of bytes from ``start`` that takes at most ``room`` tokens, and
        its tokens; ended at a line start where that wastes few of them."""
        count, end, ids = room, start, list[int]()
        while count > 0:
            end = self._end_of(start, count)
            ids = self._encode(start, end)
            # What is encoded apart from what stands around it may take some tokens more.
            if len(ids) <= room:
                break
            count -= len(ids) - room
        else:
            return start, []
        line = self._near_line(start, end)
        if line:
            shorter = self._encode(start, line)
            if len(shorter) <= room:
                return line, shorter
        return end, ids

    def _end_of(self, start: int, count: int) -> int:
        """The byte after the next ``count`` tokens of the text from ``start``, or of all it has."""
        first = int(np.searchsorted(self._ends, start, side="right"))
        last = min(first + count, len(self._ends)) - 1
        return max(start, character_start(self._data, int(self._ends[last])))

    def _near_line(self, start: int, end: int) -> int:
        """The last line start between ``start`` and ``end``; 0 if there is none, if ending there
        would waste many tokens, or if the text ends at ``end`` anyway."""
        line = self._data.rfind(b"\n", start, end) + 1
        if end == len(self._data) or not start < line < end:
            return 0
        first, last = np.searchsorted(self._ends, (line, end), side="right")
        return line if int(last - first) <= self._tolerance else 0

    def _encode(self, start: int, end: int) -> list[int]:
        return self._tokenizer.encode(self._data[start:end].decode())


def token_ends(text: str, data: bytes, tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Where the tokens of ``text`` end, in bytes of ``data`` (its UTF-8): int64 [tokens], ascending.

    Several tokens of one character may end at different bytes of it, or all at its end.
    """
    ids = np.array(tokenizer.encode(text), np.int64)
    ends = np.cumsum(tokenizer.token_bytes[ids])
    if len(ends) and ends[-1] == len(data):
        return ends
    # The tokens do not spell the text byte for byte: the tokenizer normalises it.
    _, offsets = tokenizer.encode_with_offsets(text)
    byte_of = [0, *accumulate(len(character.encode()) for character in text)]
    found = np.array([byte_of[end] for _, end in offsets], np.int64)
    return np.maximum.accumulate(found) if len(found) else found
