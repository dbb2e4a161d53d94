"""Text to a set of 64-bit hashes of its word 5-grams: what similarity is measured on.

A word is a run of ASCII letters, digits, ``_`` and bytes of 128 and more; case counts. That is
BigCode's "split on what is not alphanumeric" (5-grams from there too) on bytes, so that no text is
decoded. All arithmetic is modulo 2^64 and fixed: hashes may be stored and compared later.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treespan.platform.kernels import HAS_NUMBA, compiled

WORDS = 5
"""Words in a shingle (BigCode)."""

_BYTE = np.uint64(0x9E3779B97F4A7C15)  # base of the polynomial over the bytes of a word
_WORD = np.uint64(0xD6E8FEB86659FD93)  # base of the polynomial over the words of a shingle
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's 64-bit finaliser
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_S33 = np.uint64(33)
_ONE = np.uint64(1)

_IS_WORD = np.zeros(256, dtype=np.bool_)
for _range in (b"azAZ09__", b"\x80\xff"):
    for _low, _high in zip(_range[::2], _range[1::2], strict=True):
        _IS_WORD[_low : _high + 1] = True


def shingles(text: bytes, words: int = WORDS) -> NDArray[np.uint64]:
    """The set of hashed ``words``-grams of ``text``: uint64 [n], sorted, without repeats.

    A text of fewer words is one shingle of all its words; one without words has none.
    """
    return unique(grams_in_order(text, words))


def grams_in_order(text: bytes, words: int = WORDS) -> NDArray[np.uint64]:
    """The hashed ``words``-grams of ``text`` as they follow each other, with repeats: uint64 [n]."""
    data = np.frombuffer(text, dtype=np.uint8)
    return _grams(data, _IS_WORD, words) if HAS_NUMBA else numpy_grams(data, words)


def unique(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorted, without repeats. (``np.unique`` does the same at twice the cost.)"""
    return _distinct(np.sort(hashes)) if HAS_NUMBA else np.unique(hashes)


@compiled
def _distinct(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    count = 0
    for position in range(len(hashes)):
        if position == 0 or hashes[position] != hashes[position - 1]:
            hashes[count] = hashes[position]
            count += 1
    return hashes[:count]


def count_words(text: bytes) -> int:
    """Number of words in ``text``."""
    inside = _IS_WORD[np.frombuffer(text, dtype=np.uint8)]
    return int(inside[:1].sum() + np.count_nonzero(inside[1:] & ~inside[:-1]))


@compiled
def _mix(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _S33)) * _MIX_1
    value = (value ^ (value >> _S33)) * _MIX_2
    return value ^ (value >> _S33)


@compiled
def _grams(data: NDArray[np.uint8], is_word: NDArray[np.bool_], words: int) -> NDArray[np.uint64]:
    # A word and the gap after it take two bytes at least.
    hashes = np.empty(len(data) // 2 + 1, dtype=np.uint64)
    count = 0
    value = np.uint64(0)
    power = _ONE
    for position in range(len(data)):
        byte = data[position]
        if is_word[byte]:
            value += np.uint64(byte) * power
            power *= _BYTE
        elif power != _ONE:
            hashes[count] = _mix(value)
            count += 1
            value = np.uint64(0)
            power = _ONE
    if power != _ONE:
        hashes[count] = _mix(value)
        count += 1
    size = min(words, count)
    if size == 0:
        return hashes[:0]
    grams = np.empty(count - size + 1, dtype=np.uint64)
    value = np.uint64(0)
    leaving = _ONE  # what the first word of a shingle is multiplied with
    for k in range(size):
        value = value * _WORD + hashes[k]
        leaving *= _WORD
    grams[0] = _mix(value)
    for first in range(1, len(grams)):
        value = value * _WORD + hashes[first + size - 1] - hashes[first - 1] * leaving
        grams[first] = _mix(value)
    return grams


def numpy_grams(data: NDArray[np.uint8], words: int) -> NDArray[np.uint64]:
    """What the kernel gives, without numba: hashed grams in the order of the text, uint64 [n]."""
    inside = np.concatenate(([False], _IS_WORD[data], [False]))
    change = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = change[::2], change[1::2]
    if len(starts) == 0:
        return np.empty(0, dtype=np.uint64)
    with np.errstate(over="ignore"):
        lengths = ends - starts
        powers = np.full(lengths.max(), _BYTE, dtype=np.uint64)
        powers[0] = 1
        powers = np.multiply.accumulate(powers)
        of_words = np.repeat(starts, lengths)
        positions = np.flatnonzero(inside[1:-1])
        terms = data[positions].astype(np.uint64) * powers[positions - of_words]
        first_terms = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        hashes = _numpy_mix(np.add.reduceat(terms, first_terms))
        size = min(words, len(hashes))
        grams = np.zeros(len(hashes) - size + 1, dtype=np.uint64)
        for k in range(size):
            grams = grams * _WORD + hashes[k : k + len(grams)]
        return _numpy_mix(grams)


def _numpy_mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> _S33)) * _MIX_1
    values = (values ^ (values >> _S33)) * _MIX_2
    return values ^ (values >> _S33)
