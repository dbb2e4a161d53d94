"""Word n-grams as hashes, and a kernel that finds those of a table in the words of a file.

Words are hashed once per file (as in ``treespan.jobs.curate.shingles``); a rolling polynomial over
them gives the hashes of every length, so a length more costs little. The length goes into the
hash: runs of different lengths stand in one table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.curate.shingles import grams_in_order
from treespan.platform.kernels import HAS_NUMBA, compiled

_BASE = np.uint64(0xD1342543DE82EF95)
_LENGTH = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's 64-bit finaliser
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_S33 = np.uint64(33)
_FILTER_PER_HASH = 16


def word_hashes(text: bytes) -> NDArray[np.uint64]:
    """A hash per word of ``text``, in order: uint64 [words]."""
    return grams_in_order(text, 1)


def ngrams(words: NDArray[np.uint64], size: int) -> NDArray[np.uint64]:
    """The hash of every run of ``size`` words: uint64 [len(words) - size + 1], or none."""
    count = max(0, len(words) - size + 1)
    with np.errstate(over="ignore"):
        values = np.zeros(count, dtype=np.uint64)
        for place in range(size):
            values = values * _BASE + words[place : place + count]
        values += np.array([size], dtype=np.uint64) * _LENGTH
        values = (values ^ (values >> _S33)) * _MIX_1
        values = (values ^ (values >> _S33)) * _MIX_2
    return values ^ (values >> _S33)


class HashTable:
    """A sorted set of hashes, with a filter of one bit per slot that answers most questions.

    The filter of a million hashes has 4 MB, so it mostly stays in a core's own cache.
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self.hashes = hashes
        bits = max(10, int(len(hashes) * _FILTER_PER_HASH).bit_length())
        self._shift = np.uint64(64 - bits)
        slots = np.zeros(1 << bits, dtype=np.bool_)
        slots[hashes >> self._shift] = True
        self._filter = np.packbits(slots, bitorder="little")

    def find(
        self, words: NDArray[np.uint64], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Runs of ``size`` words that are in the table: where they start, and which they are."""
        if len(self.hashes) == 0 or len(words) < size:
            none = np.empty(0, dtype=np.int64)
            return none, none
        if HAS_NUMBA:
            starts, places = _find(words, size, self.hashes, self._filter, self._shift)
            return starts, places
        values = ngrams(words, size)
        places = np.minimum(np.searchsorted(self.hashes, values), len(self.hashes) - 1)
        starts = np.flatnonzero(self.hashes[places] == values)
        return starts, places[starts]


@compiled
def _find(
    words: NDArray[np.uint64],
    size: int,
    hashes: NDArray[np.uint64],
    seen: NDArray[np.uint8],
    shift: np.uint64,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = np.empty((2, 16), dtype=np.int64)
    count = 0
    value = np.uint64(0)
    leaving = np.uint64(1)  # the factor of the word that leaves the run
    for place in range(size):
        value = value * _BASE + words[place]
        leaving *= _BASE
    length = np.uint64(size) * _LENGTH
    for start in range(len(words) - size + 1):
        mixed = value + length
        mixed = (mixed ^ (mixed >> _S33)) * _MIX_1
        mixed = (mixed ^ (mixed >> _S33)) * _MIX_2
        mixed = mixed ^ (mixed >> _S33)
        slot = mixed >> shift
        if seen[slot >> np.uint64(3)] >> (slot & np.uint64(7)) & np.uint64(1):
            number = np.searchsorted(hashes, mixed)
            if number < len(hashes) and hashes[number] == mixed:
                if count == found.shape[1]:
                    more = np.empty((2, 2 * count), dtype=np.int64)
                    more[:, :count] = found
                    found = more
                found[0, count] = start
                found[1, count] = number
                count += 1
        if start + size < len(words):
            value = value * _BASE + words[start + size] - leaving * words[start]
    return found[0, :count].copy(), found[1, :count].copy()
