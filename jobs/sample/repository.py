"""The files of one repository and what the strategies derive from them, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.sample.kmeans import clusters
from treespan.jobs.sample.vectors import tfidf

Edge = tuple[int, int, float]
"""Which file uses which, by their indices, and how sure that is, in (0, 1]."""


def tree_order(path: str) -> list[tuple[bool, str]]:
    """Sorts paths as a walk of the folders does: a folder's own files, then each of its folders."""
    *folders, name = path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]


def folder_of(path: str) -> str:
    """The folder that a file lies in; empty for the top of the repository."""
    return path.rpartition("/")[0]


def path_similarity(a: str, b: str) -> float:
    """Shared leading folders over the deeper depth of two folders, in [0, 1]; 1 for the same."""
    if a == b:
        return 1.0
    parts = [folder.split("/") if folder else [] for folder in (a, b)]
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*parts, strict=False)))
    return shared / max(map(len, parts))


@dataclass(frozen=True)
class Repository:
    """Files in ``tree_order``, so that a folder with all below it is a range of indices."""

    files: Sequence[SourceFile]
    edges: Sequence[Edge]
    seed: int

    @cached_property
    def vectors(self) -> csr_array:
        """TF-IDF of each file, see ``vectors.tfidf``."""
        return tfidf(file.text for file in self.files)

    @cached_property
    def cluster_of(self) -> NDArray[np.int64]:
        """The cluster of files of like content that each file is in: int64 [files]."""
        return clusters(self.vectors, self.seed)

    @cached_property
    def members(self) -> list[NDArray[np.int64]]:
        """The files of each cluster, ascending."""
        order = np.argsort(self.cluster_of, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.cluster_of))[:-1])

    @cached_property
    def uses(self) -> list[dict[int, float]]:
        """For each file, the files that it uses; of several edges the surest counts."""
        found: list[dict[int, float]] = [{} for _ in self.files]
        for source, target, weight in self.edges:
            if source != target:
                found[source][target] = max(weight, found[source].get(target, 0.0))
        return [dict(sorted(targets.items())) for targets in found]

    @cached_property
    def used_by(self) -> list[dict[int, float]]:
        """For each file, the files that use it."""
        found: list[dict[int, float]] = [{} for _ in self.files]
        for source, targets in enumerate(self.uses):
            for target, weight in targets.items():
                found[target][source] = weight
        return found

    @cached_property
    def folders(self) -> list[str]:
        """The folder of each file."""
        return [folder_of(file.path) for file in self.files]

    @cached_property
    def own_files(self) -> Mapping[str, range]:
        """The files directly in each folder."""
        found: dict[str, range] = {}
        for index, folder in enumerate(self.folders):
            found[folder] = range(found.get(folder, range(index, index)).start, index + 1)
        return found

    @cached_property
    def subtrees(self) -> Mapping[str, range]:
        """The files in each folder and below it."""
        found: dict[str, range] = {}
        for folder, own in self.own_files.items():
            above = folder
            while above:
                found[above] = range(found.get(above, own).start, own.stop)
                above = folder_of(above)
        found[""] = range(len(self.files))
        return found
