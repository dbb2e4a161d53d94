"""Near duplicates: candidate pairs from bands, exact Jaccard verification, and who goes.

Bands only propose. Every pair is verified with the exact similarity of the shingle sets, and a file
is dropped only for a file that stays and is itself at least that similar to it. Dropping all but
one of a connected component would not do: similarity is not transitive, and the ends of a chain of
small edits may have little in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treespan.platform.kernels import compiled

MAX_PARTNERS = 64
"""Partners that a bucket proposes for one file (ours), the next ones in the order of set sizes.

Only buckets of more than that many contents of nearly one size are cut: they are *hot*. Nearly
always they are copies of one file with small edits, of which nearly all go by the pairs that were
proposed; those that stay are asked again, all against all (``hot_buckets``), so nothing is lost.
"""

ROWS_AT_ONCE = 10_000
"""Rows whose pairs are made at once (ours)."""


@dataclass(frozen=True)
class Proposed:
    """What buckets propose."""

    pairs: NDArray[np.uint64]
    """Refs that may be similar: uint64 [pairs, 2], a < b, sorted, unique."""
    hot: NDArray[np.uint64]
    """Members of hot buckets, as rows of key and ref: uint64 [members, 2]."""
    deferred: int
    """Pairs that ``MAX_PARTNERS`` left for later."""


def bucket_pairs(
    keys: NDArray[np.uint64],
    sizes: NDArray[np.uint32],
    contents: NDArray[np.uint64],
    refs: NDArray[np.uint64],
    threshold: float,
) -> Proposed:
    """Pairs of refs that share a key and may be similar; rows in any order.

    Files of equal content are one here, named by their least ref. A pair whose sizes differ by
    more than the threshold allows (J <= smaller / larger) cannot be similar and is not proposed;
    nothing is lost by that.
    """
    order = np.lexsort((refs, contents, sizes, keys))
    keys, sizes, contents, refs = keys[order], sizes[order], contents[order], refs[order]
    repeated = (keys[1:] == keys[:-1]) & (contents[1:] == contents[:-1])
    distinct = np.concatenate((np.ones(min(1, len(keys)), np.bool_), ~repeated))
    keys, sizes, refs = keys[distinct], sizes[distinct], refs[distinct]
    # 1e-9: rounding must not lose a pair exactly at the threshold.
    partners = _partners(keys, sizes, threshold - 1e-9)
    taken = np.minimum(partners, MAX_PARTNERS)
    # Block by block: what is held besides the pairs themselves is four times as much.
    blocks = [
        _pairs(refs, taken, start, min(start + ROWS_AT_ONCE, len(refs)))
        for start in range(0, len(refs), ROWS_AT_ONCE)
    ]
    hot = np.isin(keys, keys[partners > MAX_PARTNERS])
    return Proposed(
        unique_pairs(np.concatenate([np.empty((0, 2), dtype=np.uint64), *blocks])),
        np.stack([keys[hot], refs[hot]], axis=1),
        int((partners - taken).sum()),
    )


def _pairs(
    refs: NDArray[np.uint64], taken: NDArray[np.int64], start: int, end: int
) -> NDArray[np.uint64]:
    """Each of the rows from ``start`` to ``end`` with the next ``taken`` ones."""
    some = taken[start:end]
    first = np.repeat(np.arange(start, end), some)
    step = np.arange(len(first)) - np.repeat(np.cumsum(some) - some, some) + 1
    ends = np.stack([refs[first], refs[first + step]], axis=1)
    return unique_pairs(np.sort(ends, axis=1))


def unique_pairs(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Rows of uint64 [pairs, 2], sorted and without repeats."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    if len(pairs) > 1:
        pairs = pairs[np.concatenate(([True], (pairs[1:] != pairs[:-1]).any(axis=1)))]
    return pairs


@compiled
def _partners(
    keys: NDArray[np.uint64], sizes: NDArray[np.uint32], threshold: float
) -> NDArray[np.int64]:
    # Sorted by (key, size): the partners of i are the run after it of its key and near its size,
    # and the ends of these runs never step back.
    partners = np.zeros(len(keys), dtype=np.int64)
    end = 0
    for i in range(len(keys)):
        end = max(end, i + 1)
        while end < len(keys) and keys[end] == keys[i] and sizes[i] >= threshold * sizes[end]:
            end += 1
        partners[i] = end - i - 1
    return partners


@compiled
def jaccard_of_pairs(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Exact Jaccard similarity of pairs of sets: float64 [pairs].

    Set i is ``values[offsets[i]:offsets[i + 1]]``, sorted and without repeats; ``first`` and
    ``second`` are indexes of sets. Two empty sets have similarity 0: nothing was compared.
    """
    result = np.zeros(len(first), dtype=np.float64)
    for pair in range(len(first)):
        i, i_end = offsets[first[pair]], offsets[first[pair] + 1]
        j, j_end = offsets[second[pair]], offsets[second[pair] + 1]
        union = i_end - i + j_end - j
        common = 0
        while i < i_end and j < j_end:
            if values[i] < values[j]:
                i += 1
            elif values[i] > values[j]:
                j += 1
            else:
                common += 1
                i += 1
                j += 1
        if union > 0:
            result[pair] = common / (union - common)
    return result


def choose_near(
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    similarity: NDArray[np.float64],
    files: int,
    fixed: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Decide among similar files, given pairs of their places in the order of rank.

    Files are taken by rank; one stays unless it is similar to one that stays already. So no two
    that stay are a verified pair, and each that goes has a verified pair with one that stays, the
    most similar of them (the better ranked of equals). The first ``fixed`` files never go. Returns
    for each of the ``files`` the place of the one it goes for, -1 where it stays, and their
    similarity: int64 and float64 [files].
    """
    ends = np.concatenate([first, second]), np.concatenate([second, first])
    order = np.lexsort((ends[1], ends[0]))
    nodes, others = ends[0][order], ends[1][order]
    offsets = np.searchsorted(nodes, np.arange(files + 1))
    goes_for = np.full(files, -1, dtype=np.int64)
    best = np.zeros(files, dtype=np.float64)
    _choose(offsets, others, np.tile(similarity, 2)[order], fixed, goes_for, best)
    return goes_for, best


@compiled
def _choose(
    offsets: NDArray[np.int64],
    others: NDArray[np.int64],
    similarity: NDArray[np.float64],
    fixed: int,
    goes_for: NDArray[np.int64],
    best: NDArray[np.float64],
) -> None:
    for node in range(fixed, len(goes_for)):
        for edge in range(offsets[node], offsets[node + 1]):
            other = others[edge]
            if other < node and goes_for[other] < 0 and similarity[edge] > best[node]:
                best[node] = similarity[edge]
                goes_for[node] = other
