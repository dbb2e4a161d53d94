"""Word n-grams as hashes, and a kernel that finds those of a table in the words of a file.

Words are hashed once per file (as in ``treespan.jobs.curate.shingles``); a rolling polynomial over
them gives the hashes of every length, so a length more costs little. The length goes into the
hash: runs of different lengths stand in one table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.curate.kernels import HAS_NUMBA, compiled
from treespan.jobs.curate.shingles import grams_in_order

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
    return _hashed([words[place : place + count] for place in range(size)])


def _hashed(columns: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    """The hashes of runs whose i-th words are ``columns[i]``."""
    with np.errstate(over="ignore"):
        values = np.zeros(len(columns[0]), dtype=np.uint64)
        for column in columns:
            values = values * _BASE + column
        values += np.array([len(columns)], dtype=np.uint64) * _LENGTH
        values = (values ^ (values >> _S33)) * _MIX_1
        values = (values ^ (values >> _S33)) * _MIX_2
    return values ^ (values >> _S33)


class HashTable:
    """A sorted set of hashes, with a filter of one byte per slot that answers most questions."""

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        self.hashes = hashes
        bits = max(10, int(len(hashes) * _FILTER_PER_HASH).bit_length())
        self._shift = np.uint64(64 - bits)
        self._filter = np.zeros(1 << bits, dtype=np.bool_)
        self._filter[hashes >> self._shift] = True

    def find(
        self, words: NDArray[np.uint64], size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Runs of ``size`` words that are in the table: where they start, and which they are."""
        if len(self.hashes) == 0 or len(words) < size:
            none = np.empty(0, dtype=np.int64)
            return none, none
        if HAS_NUMBA:
            starts = _maybe(words, size, self._filter, self._shift)
            values = _hashed([words[starts + place] for place in range(size)])
        else:
            values = ngrams(words, size)
            starts = np.flatnonzero(self._filter[values >> self._shift])
            values = values[starts]
        places = np.minimum(np.searchsorted(self.hashes, values), len(self.hashes) - 1)
        found = self.hashes[places] == values
        return starts[found], places[found]


@compiled
def _maybe(
    words: NDArray[np.uint64], size: int, seen: NDArray[np.bool_], shift: np.uint64
) -> NDArray[np.int64]:
    starts = np.empty(len(words) - size + 1, dtype=np.int64)
    count = 0
    value = np.uint64(0)
    leaving = np.uint64(1)  # the factor of the word that leaves the run
    for place in range(size):
        value = value * _BASE + words[place]
        leaving *= _BASE
    length = np.uint64(size) * _LENGTH
    for start in range(len(starts)):
        mixed = value + length
        mixed = (mixed ^ (mixed >> _S33)) * _MIX_1
        mixed = (mixed ^ (mixed >> _S33)) * _MIX_2
        mixed = mixed ^ (mixed >> _S33)
        if seen[mixed >> shift]:
            starts[count] = start
            count += 1
        if start + size < len(words):
            value = value * _BASE + words[start + size] - leaving * words[start]
    return starts[:count].copy()
