"""The four strategies of Algorithm 1, each a small function from what is left to the next block.

A strategy sees the files of one repository (prepared once as a ``Repository``), the indices that no
block has taken yet, and a seeded generator; it returns the next indices in reading order. A fifth
strategy is another function in ``STRATEGIES`` and a weight in the recipe.

The paper names the signals, not their details; what is ours: k of k-means, the path score, and that
a strategy is drawn anew for each block rather than once per repository.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from itertools import takewhile
from random import Random

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.graph.build import build_graph
from treespan.jobs.graph.source_file import SourceFile

Strategy = Callable[["Repository", Sequence[int], Random], list[int]]
_VOCABULARY = 4096
_WORD = r"[^\W\d_]\w{2,}"


@dataclass(frozen=True)
class Repository:
    """The files of one repository and what the strategies derive from them, computed once."""

    files: Sequence[SourceFile]
    seed: int

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """Cluster of each file: k-means over TF-IDF of its words, k = sqrt(files / 2)."""
        # Imported here: scikit-learn takes a second, which workers that never cluster would pay.
        from sklearn.cluster import KMeans
        from sklearn.feature_extraction.text import TfidfVectorizer
        from threadpoolctl import threadpool_limits

        count = max(1, round(math.sqrt(len(self.files) / 2)))
        if count == 1:
            return np.zeros(len(self.files), np.int64)
        vectorizer = TfidfVectorizer(
            max_features=_VOCABULARY, token_pattern=_WORD, sublinear_tf=True, dtype=np.float64
        )
        try:
            vectors = vectorizer.fit_transform([file.text for file in self.files])
        except ValueError:  # not a single word in any file
            return np.zeros(len(self.files), np.int64)
        # One thread: sums in another order could move a file that lies between two clusters.
        with threadpool_limits(limits=1):
            means = KMeans(count, n_init=1, max_iter=50, random_state=self.seed % 2**32)
            return np.asarray(means.fit_predict(vectors), np.int64)

    @cached_property
    def imports(self) -> list[list[int]]:
        """For each file, the files it imports."""
        place = {file.path: index for index, file in enumerate(self.files)}
        found: list[set[int]] = [set() for _ in self.files]
        for edge in build_graph(self.files).edges:
            if edge.kind == "import":
                found[place[edge.source]].add(place[edge.target])
        return [sorted(targets) for targets in found]

    @cached_property
    def neighbours(self) -> list[list[int]]:
        """For each file, the files that it imports or that import it."""
        found: list[set[int]] = [set(targets) for targets in self.imports]
        for importing, targets in enumerate(self.imports):
            for imported in targets:
                found[imported].add(importing)
        return [sorted(targets) for targets in found]

    @cached_property
    def folders(self) -> list[tuple[str, ...]]:
        """The folders above each file, outermost first."""
        return [tuple(file.path.split("/")[:-1]) for file in self.files]


def content(repository: Repository, remaining: Sequence[int], rng: Random) -> list[int]:
    """What is left of the cluster of a random file, shuffled."""
    cluster = repository.clusters[rng.choice(remaining)]
    block = [index for index in remaining if repository.clusters[index] == cluster]
    rng.shuffle(block)
    return block


def path(repository: Repository, remaining: Sequence[int], rng: Random) -> list[int]:
    """A random file, then what is left by nearness of path; equally near ones are shuffled."""
    seed = rng.choice(remaining)
    scored = [
        (-path_similarity(repository.folders[seed], repository.folders[index]), rng.random(), index)
        for index in remaining
        if index != seed
    ]
    return [seed, *(index for _, _, index in sorted(scored))]


def path_similarity(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    """Shared leading folders over the deeper depth, in [0, 1]; 1 for one and the same folder."""
    deepest = max(len(a), len(b))
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
    return shared / deepest if deepest else 1.0


def dependency(repository: Repository, remaining: Sequence[int], rng: Random) -> list[int]:
    """What is left of the import component of a random file, imported before importing."""
    left = set(remaining)
    start = rng.choice(remaining)
    component, frontier = {start}, [start]
    while frontier:
        for neighbour in repository.neighbours[frontier.pop()]:
            if neighbour in left and neighbour not in component:
                component.add(neighbour)
                frontier.append(neighbour)
    return imported_first(repository.imports, component)


def random(repository: Repository, remaining: Sequence[int], rng: Random) -> list[int]:
    """One file, any."""
    return [rng.choice(remaining)]


STRATEGIES: dict[str, Strategy] = {
    "content": content,
    "path": path,
    "dependency": dependency,
    "random": random,
}


def imported_first(imports: Sequence[Sequence[int]], chosen: set[int]) -> list[int]:
    """``chosen`` ordered so that what a file imports stands before it.

    Files that import each other in a circle stand together; within a circle the file with the
    fewest imports still to come goes first (DeepSeek-Coder's rule), then the smallest index.
    """
    inside = {index: {target for target in imports[index] if target in chosen} for index in chosen}
    circle_of = _circles(inside)
    members: dict[int, list[int]] = {}
    needs: dict[int, set[int]] = {}
    for index in sorted(chosen):
        circle = circle_of[index]
        members.setdefault(circle, []).append(index)
        outside = {circle_of[target] for target in inside[index]} - {circle}
        needs.setdefault(circle, set()).update(sorted(outside))
    ordered: list[int] = []
    for circle in TopologicalSorter(needs).static_order():
        waiting = {index: inside[index] & set(members[circle]) for index in members[circle]}
        while waiting:
            first = min(waiting, key=lambda index: (len(waiting[index]), index))
            ordered.append(first)
            del waiting[first]
            for targets in waiting.values():
                targets.discard(first)
    return ordered


def _circles(imports: Mapping[int, set[int]]) -> dict[int, int]:
    """The circle (strongly connected component) of each file, named by its smallest file."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(imports)
    place = {name: at for at, name in enumerate(names)}
    pairs = [(place[name], place[target]) for name in names for target in imports[name]]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    shape = (len(names), len(names))
    edges = csr_array((np.ones(len(pairs), np.int8), (rows, columns)), shape=shape)
    _, labels = connected_components(edges, directed=True, connection="strong")
    smallest: dict[int, int] = {}
    return {name: smallest.setdefault(int(labels[place[name]]), name) for name in names}
