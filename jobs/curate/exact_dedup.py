"""Exact duplicates, and the policy on which of several files stays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

RANK = (
    ("known", "descending"),
    ("licence_known", "descending"),
    ("stars", "descending"),
    ("test_files", "descending"),
    ("size", "descending"),
    ("repo", "ascending"),
    ("path", "ascending"),
)
"""The first by these columns stays: a file of an earlier corpus, known licence, more stars, more
tests, the longer file, the first name.

A file's provenance comes before the file: what is kept should be the original, in the repository
that people use and test. The name only makes the choice independent of order.
"""


def by_rank(keys: pa.Table) -> pa.Table:
    """The rows of ``KEYS``, that which would stay first."""
    return keys.take(pc.sort_indices(keys, sort_keys=list(RANK)))


def exact_links(contents: NDArray[np.uint64], refs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Pairs (least ref, other ref) of rows with equal content: uint64 [pairs, 2]."""
    order = np.lexsort((refs, contents))
    contents, refs = contents[order], refs[order]
    if len(refs) == 0:
        return np.empty((0, 2), dtype=np.uint64)
    first = np.concatenate(([True], contents[1:] != contents[:-1]))
    least = refs[np.flatnonzero(first)[np.cumsum(first) - 1]]
    return np.stack([least[~first], refs[~first]], axis=1)


def choose_exact(contents: pa.Array, alive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each file, best ranked first, which of those with its bytes stays: int64 [files].

    ``contents`` are whole hashes: links come from 64 bits of them. What is not ``alive`` (gone with
    its repository) takes no part, though its content may be among the living; of a content that is
    nowhere alive nothing stays (-1).
    """
    codes = pc.dictionary_encode(contents).indices.to_numpy(zero_copy_only=False)
    places = np.arange(len(codes), dtype=np.int64)
    nobody = len(codes)
    first = np.full(int(codes.max(initial=-1)) + 1, nobody, dtype=np.int64)
    np.minimum.at(first, codes[alive], places[alive])
    stays = first[codes]
    return np.where(stays == nobody, -1, stays)
