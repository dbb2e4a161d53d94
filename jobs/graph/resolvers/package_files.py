"""From a package that is imported as a whole to those of its files that the import really means.

Shared by the languages whose imports may name packages or namespaces: Java and its kin, Go, C#,
PHP. Such an import is not a choice between files: each file that defines a used name is meant, so
each has a weight of its own. Only files that define the same name share the weight of that name.
"""

from __future__ import annotations

import heapq
import posixpath
from collections.abc import Collection, Iterable

from treespan.jobs.graph.resolvers.reference import (
    MAX_SHARED,
    SURE,
    Sources,
    distance,
    in_both,
    shared,
)

MAX_NAMESAKES = 64
"""Of more files than this the nearest are not looked for (ours): a name that so many define says
nothing, and the time would grow with the square of the files."""

_MEMBER = "method"
"""Kind of the definitions that no package has itself: they belong to a class."""


class PackageFiles:
    """What the files of a repository define for those that import their packages."""

    def __init__(self, sources: Sources, indices: Iterable[int]) -> None:
        self._sources = sources
        self._own: dict[str, dict[int, None]] = {}
        self._members: dict[str, dict[int, None]] = {}
        for index in indices:
            for found in sources.facts[index].definitions:
                into = self._members if found.kind == _MEMBER else self._own
                into.setdefault(found.name, {})[index] = None

    def meant(self, origin: int, package: Iterable[int]) -> dict[int, float]:
        """The files of ``package`` that define a name which ``origin`` uses.

        Types, functions and constants first; else methods, which may be extension methods; else,
        for a package imported for its effects or by names that no query sees, the nearest files
        share what little is known.
        """
        members = set(package)
        files = members - {origin}
        if members == {origin}:
            return {origin: SURE}  # its own namespace, which no other file adds to
        if len(files) == 1:
            return dict.fromkeys(files, SURE)
        facts = self._sources.facts[origin]
        used = facts.uses.keys() | facts.members.keys()
        for definers in (self._own, self._members):
            weights: dict[int, float] = {}
            for name in sorted(used & definers.keys()):
                found = in_both(files, definers[name])
                if len(found) > MAX_NAMESAKES:
                    continue
                for index, weight in self._sources.nearest(origin, found).items():
                    weights[index] = max(weights.get(index, 0.0), weight)
            if weights:
                return weights
        return shared(self._nearest(origin, files))

    def _nearest(self, origin: int, files: Collection[int]) -> list[int]:
        if len(files) > MAX_NAMESAKES:
            return heapq.nsmallest(MAX_SHARED, files)
        folder = posixpath.dirname(self._sources.files[origin].path)
        ordered = sorted(files, key=lambda i: (distance(folder, self._sources.files[i].path), i))
        return sorted(ordered[:MAX_SHARED])
