"""What the rules measure of a text: one pass over its UTF-8 bytes, which are never decoded whole.

A character is a byte that continues no other, so lines are counted in characters all the same. Only
whether a character outside ASCII is a letter has to be asked of Python.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.curate.shingles import count_words
from treespan.platform.kernels import HAS_NUMBA, compiled

_NEWLINE, _RETURN = 0x0A, 0x0D
_ASCII = bytes(range(128))
_IS_WORD = np.array([count_words(bytes([byte])) == 1 for byte in range(256)])
_IS_ASCII_ALPHANUMERIC = np.array([byte < 128 and chr(byte).isalnum() for byte in range(256)])


@dataclass(frozen=True)
class Measures:
    """The measures of one text."""

    words: int
    """As shingles have them."""
    characters: int
    line_ends: int
    lines: int
    """A final line end opens no further line."""
    longest_line: int
    """Characters; line ends, and carriage returns before them, not counted."""
    alphanumerics: int
    """Letters and digits of any script."""

    @property
    def mean_line(self) -> float:
        """Characters per line, line ends not counted; 0 for an empty text."""
        return (self.characters - self.line_ends) / max(self.lines, 1)

    @property
    def alphanumeric_share(self) -> float:
        """Letters and digits among all characters; 0 for an empty text."""
        return self.alphanumerics / max(self.characters, 1)


def measure(content: bytes) -> Measures:
    """The measures of ``content``, which is UTF-8."""
    data = np.frombuffer(content, dtype=np.uint8)
    count = _count if HAS_NUMBA else numpy_count
    words, characters, line_ends, longest, alphanumerics = count(
        data, _IS_WORD, _IS_ASCII_ALPHANUMERIC
    )
    if characters < len(content):
        # What is left without the ASCII bytes is UTF-8 again.
        others = content.translate(None, _ASCII).decode("utf-8")
        alphanumerics += sum(map(str.isalnum, others))
    last_line = 0 if content.endswith(b"\n") or not content else 1
    return Measures(
        int(words),
        int(characters),
        int(line_ends),
        int(line_ends) + last_line,
        int(longest),
        int(alphanumerics),
    )


@compiled
def _count(
    data: NDArray[np.uint8], is_word: NDArray[np.bool_], is_alphanumeric: NDArray[np.bool_]
) -> tuple[int, int, int, int, int]:
    words = 0
    characters = 0
    line_ends = 0
    longest = 0
    alphanumerics = 0
    inside = False
    line_start = 0  # in characters
    returns = 0  # that end the line so far
    for position in range(len(data)):
        byte = data[position]
        if is_word[byte]:
            words += not inside
            inside = True
            alphanumerics += is_alphanumeric[byte]
            characters += (byte & 0xC0) != 0x80
            returns = 0
        else:
            inside = False
            if byte == _NEWLINE:
                longest = max(longest, characters - line_start - returns)
                line_ends += 1
                line_start = characters + 1
                returns = 0
            elif byte == _RETURN:
                returns += 1
            else:
                returns = 0
            characters += 1
    longest = max(longest, characters - line_start - returns)
    return words, characters, line_ends, longest, alphanumerics


def numpy_count(
    data: NDArray[np.uint8], is_word: NDArray[np.bool_], is_alphanumeric: NDArray[np.bool_]
) -> tuple[int, int, int, int, int]:
    """What the kernel gives, without numba: words, characters, line ends, longest line, and
    letters and digits in ASCII.
    """
    inside = is_word[data]
    words = np.count_nonzero(inside[:1]) + np.count_nonzero(inside[1:] & ~inside[:-1])
    starts = (data & 0xC0) != 0x80
    ends = np.append(np.flatnonzero(data == _NEWLINE), len(data))
    before = np.concatenate(([0], np.cumsum(starts)))  # characters before each byte
    lengths = np.diff(before[ends], prepend=-1) - 1
    # Only the lines that may be the longest are looked at for carriage returns.
    longest = 0
    for line in np.argsort(-lengths, kind="stable"):
        if lengths[line] <= longest:
            break
        first = ends[line - 1] + 1 if line else 0
        text = data[first : ends[line]].tobytes()
        longest = max(longest, int(lengths[line]) - (len(text) - len(text.rstrip(b"\r"))))
    return (
        int(words),
        int(before[-1]),
        len(ends) - 1,
        longest,
        int(np.count_nonzero(is_alphanumeric[data])),
    )
