"""MinHash signatures of shingle sets, and the band keys under which similar sets meet.

The share of equal values in two signatures estimates the Jaccard similarity of the sets
(Broder 1997). It only proposes pairs here; what is dropped is decided by the exact similarity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from treespan.platform.kernels import HAS_NUMBA, compiled

PERMUTATIONS = 256
"""Values in a signature (BigCode, StarCoder)."""

EMPTY = np.uint32(0xFFFFFFFF)
"""Every value of the signature of an empty set."""


SEED = 1
"""datasketch's default seed."""


def _parameters() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    # NumPy promises that the streams of RandomState never change; an index keeps a hash of them.
    draw = np.random.RandomState(SEED)
    a = draw.randint(0, 1 << 31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, draw.randint(0, 1 << 32, PERMUTATIONS, dtype=np.uint32)


_A, _B = _parameters()

_MIX_1 = np.uint32(0x85EBCA6B)  # MurmurHash3's 32-bit finaliser
_MIX_2 = np.uint32(0xC2B2AE35)
_S13 = np.uint32(13)
_S16 = np.uint32(16)


def seeds() -> NDArray[np.uint32]:
    """The parameters of all permutations: uint32 [2, 256]. An index keeps a hash of them."""
    return np.stack([_A, _B])


def signature(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The MinHash of a set of 64-bit hashes, repeats allowed: uint32 [256].

    Value i is the least ``a_i * mix(h) + b_i`` modulo 2^32 over the upper halves h of the hashes,
    with odd ``a_i`` and MurmurHash3's finaliser as mix. That is datasketch's ``affine32`` with its
    default seed, so ``MinHash(256, hashvalues=signature(hashes), scheme="affine32")`` is a sketch
    that datasketch compares, indexes and adds to (with the upper halves as its hash function).
    """
    return _minima(hashes, _A, _B) if HAS_NUMBA else numpy_signature(hashes)


@compiled
def _minima(
    hashes: NDArray[np.uint64], a: NDArray[np.uint32], b: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    least = np.full(len(a), np.uint32(0xFFFFFFFF), dtype=np.uint32)
    for position in range(len(hashes)):
        mixed = np.uint32(hashes[position] >> np.uint64(32))
        mixed = np.uint32((mixed ^ (mixed >> _S16)) * _MIX_1)
        mixed = np.uint32((mixed ^ (mixed >> _S13)) * _MIX_2)
        mixed = np.uint32(mixed ^ (mixed >> _S16))
        for i in range(len(a)):  # the compiler makes this loop vector code
            value = np.uint32(a[i] * mixed + b[i])
            least[i] = min(least[i], value)
    return least


def numpy_signature(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """What the kernel gives, without numba."""
    if len(hashes) == 0:
        return np.full(PERMUTATIONS, EMPTY, dtype=np.uint32)
    mixed = (hashes >> np.uint64(32)).astype(np.uint32)
    mixed = (mixed ^ (mixed >> _S16)) * _MIX_1
    mixed = (mixed ^ (mixed >> _S13)) * _MIX_2
    mixed ^= mixed >> _S16
    least = [(mixed * a + b).min() for a, b in zip(_A, _B, strict=True)]
    return np.array(least, dtype=np.uint32)


def estimate(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """Estimated Jaccard similarity; its standard deviation is at most 1/32."""
    return float(np.mean(one == other))


def band_keys(signatures: NDArray[np.uint32], bands: int, rows: int) -> NDArray[np.uint64]:
    """One 64-bit key per band of each signature (uint32 [n, 256]): uint64 [n, bands].

    Two sets share a key if ``rows`` values in a row are equal (or by chance of 2^-64). The number
    of the band is mixed in, so keys of all bands can stand in one table.
    """
    taken = signatures[:, : bands * rows].astype(np.uint64).reshape(-1, bands, rows)
    with np.errstate(over="ignore"):
        start = np.arange(1, bands + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        keys = np.tile(start, (len(signatures), 1))
        for row in range(rows):
            keys = (keys ^ taken[:, :, row]) * np.uint64(0xFF51AFD7ED558CCD)
            keys ^= keys >> np.uint64(32)
    return keys


def recall(similarity: float, bands: int, rows: int) -> float:
    """Share of pairs of this similarity that meet in a band: 1 - (1 - s^rows)^bands."""
    return float(1.0 - (1.0 - similarity**rows) ** bands)
