"""What an order of files brings together: similarity and dependencies within documents.

Everything is summed in whole numbers (cosines in millionths), so that the sums of partitions add up
to the same in any order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.sample.documents import Placed
from treespan.jobs.sample.repository import Repository, path_similarity
from treespan.platform.kernels import compiled

Sums = dict[str, Counter[str]]
"""Sums by measure and strategy; of dependencies by what was counted."""

MEASURES = ("similarity", "neighbour_similarity", "path_similarity")
_MILLION = 1_000_000


def measure(repository: Repository, documents: Sequence[Sequence[Placed]]) -> Sums:
    """The sums of one order of ``repository``, cut into ``documents``.

    - ``similarity``: mean TF-IDF cosine of a file with the others of its document;
    - ``neighbour_similarity`` and ``path_similarity``: TF-IDF cosine and nearness of folders with
      the file right before it in its document;

    each under the strategy that placed the file, with the number of files under ``NAME/files``; and
    ``dependencies``: ``edges`` between files of the order, those ``within`` one document, and those
    within one where the used file stands before the using (``callee_first``).
    """
    vectors = repository.vectors
    placed = [file for document in documents for file in document]
    order = np.array([file.index for file in placed], np.int64)
    ends = np.cumsum([len(document) for document in documents], dtype=np.int64)
    others, before = _cosines(
        vectors.indptr, vectors.indices, vectors.data, order, ends, np.zeros(vectors.shape[1])
    )
    sums: Sums = {name: Counter() for name in (*MEASURES, "dependencies")}
    sums |= {f"{name}/files": Counter() for name in MEASURES}
    starts = set(ends.tolist()) | {0}
    folders = repository.folders
    for at, file in enumerate(placed):
        alone = at in starts and at + 1 in starts
        if not alone:
            _add(sums, "similarity", file, others[at])
        if at not in starts:
            _add(sums, "neighbour_similarity", file, before[at])
            nearness = path_similarity(folders[placed[at - 1].index], folders[file.index])
            _add(sums, "path_similarity", file, nearness)
    sums["dependencies"].update(_dependencies(repository, documents))
    return sums


def add_sums(parts: Iterable[Mapping[str, Mapping[str, int]]]) -> Sums:
    """The sums of several orders as one."""
    total: Sums = {}
    for part in parts:
        for name, found in part.items():
            total.setdefault(name, Counter()).update(found)
    return total


def means(sums: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """For each measure its mean by strategy and over ``all``, and the counts of dependencies."""
    shown: dict[str, Any] = {}
    for name in MEASURES:
        total, files = sums.get(name, {}), sums.get(f"{name}/files", {})
        whole = {"all": sum(total.values())}, {"all": sum(files.values())}
        shown[name] = {
            strategy: round(millionths / counted[strategy] / _MILLION, 6)
            for by_strategy, counted in ((total, files), whole)
            for strategy, millionths in sorted(by_strategy.items())
            if counted[strategy]
        }
    found = sums.get("dependencies", {})
    shown["dependencies"] = {
        name: found.get(name, 0) for name in ("edges", "within", "callee_first")
    }
    return shown


def statistics(sums: Sums, random_sums: Sums) -> dict[str, Any]:
    """Each measure by strategy, over all files (``_all``), and of the random order (``_random``)."""
    ours, shuffled = means(sums), means(random_sums)
    found: dict[str, Any] = {}
    for name in MEASURES:
        found[f"{name}_all"] = ours[name].pop("all", None)
        found[f"{name}_random"] = shuffled[name].get("all")
        found[name] = ours[name]
    found["dependencies"] = ours["dependencies"]
    found["dependencies_random"] = shuffled["dependencies"]
    return found


def _add(sums: Sums, name: str, file: Placed, value: float) -> None:
    sums[name][file.strategy] += round(value * _MILLION)
    sums[f"{name}/files"][file.strategy] += 1


def _dependencies(repository: Repository, documents: Sequence[Sequence[Placed]]) -> dict[str, int]:
    document_of = {file.index: at for at, document in enumerate(documents) for file in document}
    place = {file.index: at for document in documents for at, file in enumerate(document)}
    found = {"edges": 0, "within": 0, "callee_first": 0}
    for using, at in place.items():
        for used in repository.uses[using]:
            if used in place:
                within = document_of[using] == document_of[used]
                found["edges"] += 1
                found["within"] += within
                found["callee_first"] += within and place[used] < at
    return found


@compiled
def _cosines(
    starts: NDArray[np.int32],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    order: NDArray[np.int64],
    ends: NDArray[np.int64],
    total: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each file of ``order``: its mean cosine with the others of its document, and that with
    the file before. ``total`` holds a zero for each term. Linear in what the vectors hold.
    """
    others = np.zeros(len(order))
    before = np.zeros(len(order))
    first = 0
    for end in ends:
        for at in range(first, end):
            row = order[at]
            for place in range(starts[row], starts[row + 1]):
                total[terms[place]] += weights[place]
        for at in range(first, end):
            row = order[at]
            cosine = 0.0
            for place in range(starts[row], starts[row + 1]):
                weight = np.float64(weights[place])
                cosine += weight * (total[terms[place]] - weight)
            if end - first > 1:
                others[at] = cosine / (end - first - 1)
        for at in range(first, end):
            row = order[at]
            for place in range(starts[row], starts[row + 1]):
                total[terms[place]] = 0.0
        for at in range(first + 1, end):
            left, right = starts[order[at - 1]], starts[order[at]]
            left_end, right_end = starts[order[at - 1] + 1], starts[order[at] + 1]
            cosine = 0.0
            while left < left_end and right < right_end:
                if terms[left] == terms[right]:
                    cosine += np.float64(weights[left]) * np.float64(weights[right])
                    left += 1
                    right += 1
                elif terms[left] < terms[right]:
                    left += 1
                else:
                    right += 1
            before[at] = cosine
        first = end
    return others, before
