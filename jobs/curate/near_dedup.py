"""Near duplicates: candidate pairs from bands, exact Jaccard verification, and who goes.

Bands only propose. Every pair is verified with the exact similarity of the shingle sets, and a file
is dropped only for a file that stays and is itself at least that similar to it. Dropping all but
one of a connected component would not do: similarity is not transitive, and the ends of a chain of
small edits may have little in common.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from treespan.jobs.curate.exact_dedup import Key
from treespan.jobs.curate.kernels import compiled

MAX_PARTNERS = 256
"""Partners that a bucket proposes for one file (ours), the next ones in the order of set sizes.

Only buckets of more than that many contents of nearly one size are cut. In them, files that are
all alike stay connected through their neighbours, and every file has 24 other bands. What is left
out is counted and reported.
"""


def bucket_pairs(
    keys: NDArray[np.uint64],
    sizes: NDArray[np.uint32],
    contents: NDArray[np.uint64],
    refs: NDArray[np.uint64],
    threshold: float,
) -> tuple[NDArray[np.uint64], int]:
    """Pairs of refs that share a key and may be similar: uint64 [pairs, 2], a < b, sorted, unique.

    Files of equal content are one here, named by their least ref. A pair whose sizes differ by
    more than the threshold allows (J <= smaller / larger) cannot be similar and is not proposed;
    nothing is lost by that. Also returns how many pairs ``MAX_PARTNERS`` left out.
    """
    order = np.lexsort((refs, contents, sizes, keys))
    keys, sizes, contents, refs = keys[order], sizes[order], contents[order], refs[order]
    if len(keys) == 0:
        return np.empty((0, 2), dtype=np.uint64), 0
    repeated = (keys[1:] == keys[:-1]) & (contents[1:] == contents[:-1])
    distinct = np.concatenate(([True], ~repeated))
    keys, sizes, refs = keys[distinct], sizes[distinct], refs[distinct]
    # 1e-9: rounding must not lose a pair exactly at the threshold.
    pairs, skipped = _pairs(keys, sizes, refs, threshold - 1e-9, MAX_PARTNERS)
    return unique_pairs(pairs), int(skipped)


def unique_pairs(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Rows of uint64 [pairs, 2], sorted and without repeats."""
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    if len(pairs) > 1:
        pairs = pairs[np.concatenate(([True], (pairs[1:] != pairs[:-1]).any(axis=1)))]
    return pairs


@compiled
def _pairs(
    keys: NDArray[np.uint64],
    sizes: NDArray[np.uint32],
    refs: NDArray[np.uint64],
    threshold: float,
    max_partners: int,
) -> tuple[NDArray[np.uint64], int]:
    # Sorted by (key, size): the partners of i are the run after it of its key and near its size.
    total = 0
    skipped = 0
    for i in range(len(keys)):
        j = i + 1
        while j < len(keys) and keys[j] == keys[i] and sizes[i] >= threshold * sizes[j]:
            if j - i <= max_partners:
                total += 1
            else:
                skipped += 1
            j += 1
    pairs = np.empty((total, 2), dtype=np.uint64)
    filled = 0
    for i in range(len(keys)):
        j = i + 1
        while (
            j < len(keys)
            and j - i <= max_partners
            and keys[j] == keys[i]
            and sizes[i] >= threshold * sizes[j]
        ):
            pairs[filled, 0] = min(refs[i], refs[j])
            pairs[filled, 1] = max(refs[i], refs[j])
            filled += 1
            j += 1
    return pairs, skipped


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


def components(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Connected components of uint64 [pairs, 2]: the refs, sorted, and a label for each.

    A label is the position of the component's least ref, so labels depend on nothing but the pairs.
    """
    refs, flat = np.unique(pairs, return_inverse=True)
    ends = flat.reshape(-1, 2)
    graph = coo_array(
        (np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), (len(refs),) * 2
    )
    count, labels = connected_components(graph, directed=False)
    least = np.full(count, len(refs), dtype=np.int64)
    np.minimum.at(least, labels, np.arange(len(refs)))
    return refs, least[labels]


def choose_near(
    pairs: Mapping[tuple[int, int], float], keys: Mapping[int, Key]
) -> dict[int, tuple[int, float]]:
    """Decide among similar files: dropped ref -> (ref that stays, their similarity).

    Files are taken by rank; one stays unless it is similar to one that stays already. So no two
    that stay are a verified pair, and each that goes has a verified pair with one that stays, the
    most similar of them (the better ranked of equals).
    """
    neighbours: dict[int, list[tuple[int, float]]] = {}
    for (a, b), similarity in pairs.items():
        neighbours.setdefault(a, []).append((b, similarity))
        neighbours.setdefault(b, []).append((a, similarity))
    position = {
        ref: place for place, ref in enumerate(sorted(neighbours, key=lambda ref: keys[ref].rank))
    }
    dropped: dict[int, tuple[int, float]] = {}
    for ref, place in position.items():
        stay = [
            (-similarity, position[other], other)
            for other, similarity in neighbours[ref]
            if position[other] < place and other not in dropped
        ]
        if stay:
            similarity, _, other = min(stay)
            dropped[ref] = (other, -similarity)
    return dropped
