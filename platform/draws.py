"""Random choices as pure functions of (seed, purpose, key), never of the order of arrival.

The same recipe must give the same bytes on one worker or a hundred; so nothing draws from a shared
generator, and the mixing functions here are fixed forever (library generators may change).
"""

from __future__ import annotations

import hashlib
from random import Random

import numpy as np
from numpy.typing import NDArray


def hash64(*parts: str | int) -> int:
    """A stable 64-bit hash of ``parts``; their boundaries count (``"a","b"`` is not ``"ab"``)."""
    joined = b"".join(
        len(data).to_bytes(4, "little") + data for data in (str(part).encode() for part in parts)
    )
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "little")


def uniform(*parts: str | int) -> float:
    """A number in [0, 1) drawn by the hash of ``parts``."""
    return (hash64(*parts) >> 11) * 2.0**-53


def generator(*parts: str | int) -> Random:
    """A generator for the many small choices of one item, seeded by the hash of ``parts``."""
    return Random(hash64(*parts))


def permutation(size: int, *parts: str | int) -> NDArray[np.int64]:
    """A permutation of ``range(size)``: int64 [size], the same on every platform and version.

    Sorts the SplitMix64 (Steele, Lea, Flood 2014) hash of each index; 64-bit keys make ties
    negligible and the stable sort settles them.
    """
    with np.errstate(over="ignore"):
        z = np.arange(size, dtype=np.uint64) + np.uint64(hash64(*parts))
        z = (z + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.argsort(z, kind="stable").astype(np.int64)


def partition_of(repo: str, partitions: int) -> int:
    """The partition that holds all files of ``repo``."""
    return hash64("partition", repo) % partitions
