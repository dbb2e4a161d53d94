"""One file against the index: the runs of benchmarks in it, and the items that it nearly holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.decontaminate.index import SHINGLE, Index
from treespan.jobs.decontaminate.ngrams import word_hashes


@dataclass(frozen=True)
class Hits:
    """What a file shares with the benchmarks. Runs in the order of their places in the file."""

    starts: NDArray[np.int64]
    """Number of the first word of each run."""
    lengths: NDArray[np.int64]
    runs: NDArray[np.int64]
    """Which run of the index it is."""
    near_item: int = -1
    """The item of which the file holds the largest share of shingles, if that is enough."""
    containment: float = 0.0

    def __bool__(self) -> bool:
        return len(self.runs) > 0 or self.near_item >= 0


@dataclass(frozen=True)
class Run:
    """The longest stretch of one item's words in a file."""

    item: int
    words: int


def scan(text: bytes, index: Index, near_containment: float | None) -> Hits:
    """All runs of the index in ``text``, and the item that it nearly holds."""
    words = word_hashes(text)
    found = [(size, *index.runs.table.find(words, size)) for size in index.sizes]
    starts = np.concatenate([f[1] for f in found]) if found else np.empty(0, np.int64)
    runs = np.concatenate([f[2] for f in found]) if found else np.empty(0, np.int64)
    lengths = np.repeat([f[0] for f in found], [len(f[1]) for f in found]).astype(np.int64)
    order = np.lexsort((lengths, starts))
    item, containment = -1, 0.0
    if near_containment is not None:
        item, containment = nearest(words, index)
        if containment < near_containment:
            item, containment = -1, 0.0
    return Hits(starts[order], lengths[order], runs[order], item, containment)


def nearest(words: NDArray[np.uint64], index: Index) -> tuple[int, float]:
    """The item of which ``words`` hold the largest share of shingles, and that share."""
    _, places = index.shingles.table.find(words, SHINGLE)
    if len(places) == 0:
        return -1, 0.0
    items, held = np.unique(index.shingles.items_of(np.unique(places)), return_counts=True)
    shares = held / index.shingle_counts[items]
    best = int(np.argmax(shares))  # the first of equals
    return int(items[best]), float(shares[best])


def longest_run(hits: Hits, index: Index, common: NDArray[np.bool_]) -> Run | None:
    """The longest stretch of one item in the file, of runs that are not ``common``.

    The words of a stretch are those of overlapping runs that follow each other. The item that
    comes first wins among equals.
    """
    best: Run | None = None
    open_runs: dict[int, tuple[int, int]] = {}  # item -> (first word, end) of its last stretch
    for start, length, run in zip(
        hits.starts.tolist(), hits.lengths.tolist(), hits.runs.tolist(), strict=True
    ):
        if common[run]:
            continue
        first, end = index.runs.offsets[run], index.runs.offsets[run + 1]
        for item in index.runs.items[first:end].tolist():
            begin, until = open_runs.get(item, (start, start))
            if start > until:
                begin = start
            until = max(until, start + length)
            open_runs[item] = (begin, until)
            words = until - begin
            if best is None or (-words, item) < (-best.words, best.item):
                best = Run(item, words)
    return best
