"""Text to counts of hashed terms: what the content of a file is compared by.

A term is a word of three letters or more inside an identifier, split as people read it
(``parseHTTPReply``: parse, http, reply), and the whole identifier where it is more than one word.
Case and underscores do not count: ``fileName``, ``file_name`` and ``filename`` are one term. Words
let files about one thing meet, whole identifiers let files meet that use the same things. Numbers,
and what begins with a digit, are no terms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from treespan.platform.kernels import compiled

FEATURES = 1 << 18
"""Buckets that terms are hashed into (ours): a file has some hundred terms, so two files share
about one by chance, and the counters fit a processor's cache."""

MIN_LETTERS = 3
"""Shorter words (``i``, ``to``, ``fd``) tell little (ours)."""

_LOWER, _UPPER, _DIGIT, _UNDERSCORE = 1, 2, 3, 4
_KIND = np.zeros(256, dtype=np.uint8)
for _first, _last, _kind in (
    (b"a", b"z", _LOWER),
    (b"\x80", b"\xff", _LOWER),  # letters of other scripts, undecoded
    (b"A", b"Z", _UPPER),
    (b"0", b"9", _DIGIT),
    (b"_", b"_", _UNDERSCORE),
):
    _KIND[_first[0] : _last[0] + 1] = _kind

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_S33 = np.uint64(33)
_S46 = np.uint64(46)  # leaves 18 bits: FEATURES
_TO_LOWER = np.uint64(32)
_ZERO = np.uint64(0)


@dataclass
class TermCounter:
    """Counts terms of one text after the other; keeps its table of counters between them."""

    _table: NDArray[np.int32] = field(default_factory=lambda: np.zeros(FEATURES, dtype=np.int32))

    def count(self, text: bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Features of the terms of ``text``, ascending, and how often each occurs: int32 [n]."""
        data = np.frombuffer(text, dtype=np.uint8)
        with np.errstate(over="ignore"):  # where it is not compiled
            return _count(data, _KIND, self._table)


@compiled
def _bucket(value: np.uint64) -> np.int64:
    value = (value ^ (value >> _S33)) * _MIX
    return np.int64(value >> _S46)


@compiled
def _count(
    data: NDArray[np.uint8], kinds: NDArray[np.uint8], table: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    # Words of three letters and the gaps after them, and an identifier for every two of them.
    found = np.empty(len(data) // 2 + 1, dtype=np.int32)
    distinct = 0
    word, whole = _ZERO, _ZERO
    word_letters, letters, words, digits = 0, 0, 0, 0
    is_number = False
    before = 0
    for position in range(len(data) + 1):
        kind = kinds[data[position]] if position < len(data) else 0
        starts_word = kind == _UPPER and (
            before == _LOWER
            or (
                before == _UPPER
                and position + 1 < len(data)
                and kinds[data[position + 1]] == _LOWER
            )
        )
        if word_letters > 0 and (starts_word or (kind != _LOWER and kind != _UPPER)):
            words += 1
            if word_letters >= MIN_LETTERS and not is_number:
                bucket = _bucket(word)
                if table[bucket] == 0:
                    found[distinct] = bucket
                    distinct += 1
                table[bucket] += 1
            word, word_letters = _ZERO, 0
        if kind == 0:
            if letters >= MIN_LETTERS and words + digits > 1 and not is_number:
                bucket = _bucket(whole)
                if table[bucket] == 0:
                    found[distinct] = bucket
                    distinct += 1
                table[bucket] += 1
            whole, letters, words, digits = _ZERO, 0, 0, 0
            is_number = False
        elif kind == _DIGIT:
            is_number |= before == 0
            digits += 1
            whole = (whole + np.uint64(data[position])) * _BASE
        elif kind != _UNDERSCORE:
            letter = np.uint64(data[position])
            if kind == _UPPER:
                letter += _TO_LOWER
            word = (word + letter) * _BASE
            whole = (whole + letter) * _BASE
            word_letters += 1
            letters += 1
        before = kind
    features = np.sort(found[:distinct])
    counts = np.empty(distinct, dtype=np.int32)
    for place in range(distinct):
        counts[place] = table[features[place]]
        table[features[place]] = 0
    return features, counts
