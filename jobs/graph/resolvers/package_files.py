"""From a package that is imported as a whole to those of its files that the import really means.

Shared by the languages whose imports may name packages or namespaces: Java and its kin, Go, C#,
PHP. Such an import is not a choice between files: each file that defines a used name is meant, so
each has a weight of its own. Only files that define the same name share the weight of that name.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence

from treespan.jobs.graph.resolvers.reference import (
    MAX_SHARED,
    SURE,
    Sources,
    distance,
    shared,
)

_MEMBER = "method"
"""Kind of the definitions that no package has itself: they belong to a class."""


class PackageFiles:
    """What the files of a repository define for those that import their packages."""

    def __init__(self, sources: Sources, indices: Iterable[int]) -> None:
        self._sources = sources
        self._own: dict[int, frozenset[str]] = {}
        self._members: dict[int, frozenset[str]] = {}
        for index in indices:
            found = sources.facts[index].definitions
            self._own[index] = frozenset(d.name for d in found if d.kind != _MEMBER)
            self._members[index] = frozenset(d.name for d in found if d.kind == _MEMBER)

    def meant(self, origin: int, package: Iterable[int]) -> dict[int, float]:
        """The files of ``package`` that define a name which ``origin`` uses.

        Types, functions and constants first; else methods, which may be extension methods; else,
        for a package imported for its effects or by names that no query sees, the nearest files
        share what little is known.
        """
        members = list(package)
        files = [index for index in members if index != origin]
        if members == [origin]:
            return {origin: SURE}  # its own namespace, which no other file adds to
        if len(files) == 1:
            return {files[0]: SURE}
        facts = self._sources.facts[origin]
        used = facts.uses.keys() | facts.members.keys()
        for defined in (self._own, self._members):
            definers: dict[str, list[int]] = {}
            for index in files:
                for name in used & defined[index]:
                    definers.setdefault(name, []).append(index)
            weights: dict[int, float] = {}
            for name in sorted(definers):
                for index, weight in self._sources.nearest(origin, definers[name]).items():
                    weights[index] = max(weights.get(index, 0.0), weight)
            if weights:
                return weights
        return shared(self._nearest(origin, files))

    def _nearest(self, origin: int, files: Sequence[int]) -> list[int]:
        folder = posixpath.dirname(self._sources.files[origin].path)
        ordered = sorted(files, key=lambda i: (distance(folder, self._sources.files[i].path), i))
        return sorted(ordered[:MAX_SHARED])
