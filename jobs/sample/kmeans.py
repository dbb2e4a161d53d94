"""K-means on sparse rows: Lloyd's iterations from k-means++ centres, linear in the rows.

k = sqrt(n / 2), the usual rule of thumb, would make the work grow as n^1.5. So at most 32 centres
are fitted at a time, to at most 2,048 rows (for which the rule gives 32), and a cluster that is
still large is clustered again. A product of a sparse and a dense matrix does almost all of it: one
thread, sums in the order of the rows, so the same clusters everywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from treespan.platform.draws import permutation, uniform

MAX_CENTRES = 32
FIT_ROWS = 2 * MAX_CENTRES**2
"""Rows that centres are fitted to: as many as the rule of thumb gives that number of centres."""
MAX_CLUSTER = 128
"""A larger cluster is clustered again (ours): twice the mean size for ``FIT_ROWS`` rows."""
ITERATIONS = 10
"""Of Lloyd's algorithm at most (ours): on ten real repositories later ones move 2 % of rows or less."""


def clusters(vectors: csr_array, seed: int) -> NDArray[np.int64]:
    """A cluster for each row of ``vectors``: int64 [rows], numbered from 0, each at most 128 rows."""
    labels = np.zeros(vectors.shape[0], np.int64)
    waiting = [np.arange(vectors.shape[0])]
    number = 0
    while waiting:
        rows = waiting.pop()
        inner = kmeans(vectors[rows], centres_for(len(rows)), seed)
        parts = [rows[inner == label] for label in np.unique(inner)]
        if len(parts) == 1:
            # Alike to the last: only their place in the folders, the order of rows, is left.
            parts = [rows[at : at + MAX_CLUSTER] for at in range(0, len(rows), MAX_CLUSTER)]
        for part in parts:
            if len(part) > MAX_CLUSTER:
                waiting.append(part)
            else:
                labels[part] = number
                number += 1
    return labels


def centres_for(rows: int) -> int:
    """The number of centres for so many rows."""
    return min(MAX_CENTRES, max(1, round(math.sqrt(rows / 2))))


def kmeans(vectors: csr_array, centres: int, seed: int) -> NDArray[np.int64]:
    """Rows by the nearest of ``centres`` centres: int64 [rows], labels below ``centres``.

    The centres are fitted to ``FIT_ROWS`` of the rows, drawn by ``seed``. Some may stay empty.
    """
    if centres == 1 or not vectors.nnz:
        return np.zeros(vectors.shape[0], np.int64)
    vectors = _without_empty_columns(vectors)
    sample = vectors
    if vectors.shape[0] > FIT_ROWS:
        sample = vectors[np.sort(permutation(vectors.shape[0], seed, "fit")[:FIT_ROWS])]
    labels = _nearest(sample, sample[_first_centres(sample, centres, seed)])
    for _ in range(ITERATIONS):
        means = _means(sample, labels, centres)
        moved = _nearest(sample, means)
        if np.array_equal(moved, labels):
            break
        labels = moved
    return labels if sample is vectors else _nearest(vectors, means)


def _first_centres(vectors: csr_array, centres: int, seed: int) -> list[int]:
    """Rows to begin with (k-means++): each drawn by its squared distance to those before it."""
    count = vectors.shape[0]
    squares = _squares(vectors)
    chosen = [int(uniform(seed, "centre", 0) * count)]
    distance = np.full(count, np.inf)
    while len(chosen) < centres:
        latest = vectors[[chosen[-1]]].toarray()[0]
        with_latest = squares + squares[chosen[-1]] - 2.0 * (vectors @ latest)
        distance = np.minimum(distance, np.maximum(with_latest, 0.0))
        heaps = np.cumsum(distance)
        if heaps[-1] <= 0:
            break  # fewer distinct rows than centres
        draw = uniform(seed, "centre", len(chosen)) * heaps[-1]
        chosen.append(min(int(np.searchsorted(heaps, draw, side="right")), count - 1))
    return chosen


def _nearest(vectors: csr_array, centres: csr_array) -> NDArray[np.int64]:
    """The nearest centre of each row; rows of ``centres`` without a term are no centres."""
    squares = _squares(centres)
    squares[squares == 0] = np.inf
    dense = np.ascontiguousarray(centres.toarray().T)
    return np.asarray(np.argmin(squares - 2.0 * (vectors @ dense), axis=1), np.int64)


def _means(vectors: csr_array, labels: NDArray[np.int64], centres: int) -> csr_array:
    sizes = np.bincount(labels, minlength=centres)
    shares = (1.0 / sizes[labels]).astype(np.float32)
    members = csr_array((shares, (labels, np.arange(len(labels)))), shape=(centres, len(labels)))
    means: csr_array = members @ vectors
    return means


def _squares(vectors: csr_array) -> NDArray[np.float64]:
    rows = np.repeat(np.arange(vectors.shape[0]), np.diff(vectors.indptr))
    squares = vectors.data.astype(np.float64) ** 2
    return np.bincount(rows, squares, minlength=vectors.shape[0]).astype(np.float64)


def _without_empty_columns(vectors: csr_array) -> csr_array:
    used = np.zeros(vectors.shape[1], np.bool_)
    used[vectors.indices] = True
    column = np.cumsum(used, dtype=np.int32) - 1
    return csr_array(
        (vectors.data, column[vectors.indices].astype(np.int32), vectors.indptr),
        shape=(vectors.shape[0], int(used.sum())),
    )
