"""Files by the full names of what they define: package or namespace, then the symbol.

Shared by the languages whose imports name symbols and not files: Java and its kin, C#, PHP.
"""

from __future__ import annotations

from collections.abc import Sequence

from treespan.jobs.graph.resolvers.reference import SURE, Sources, shared


class NamedFiles:
    """An index of full names. ``separator`` stands between their parts."""

    def __init__(self, sources: Sources, indices: Sequence[int], separator: str) -> None:
        self._sources, self._separator = sources, separator
        self.packages: dict[str, list[int]] = {}
        """The files that declare a package."""
        self._files: dict[str, list[int]] = {}
        for index in indices:
            facts = sources.facts[index]
            if not facts.definitions:
                continue
            self.packages.setdefault(facts.package, []).append(index)
            for name in sorted({definition.name for definition in facts.definitions}):
                full = f"{facts.package}{separator}{name}" if facts.package else name
                self._files.setdefault(full, []).append(index)

    def knows(self, name: str, *, whole: bool = False) -> bool:
        """Whether what stands right above ``name`` (``whole``: or it itself) is a package or a
        symbol of the repository. A package further up may be shared with other projects.
        """
        above = name.rpartition(self._separator)[0]
        wanted = (name, above) if whole else (above,)
        return any(full and (full in self.packages or full in self._files) for full in wanted)

    def longest(self, origin: int, name: str) -> dict[int, float]:
        """The files of ``name`` or, for what lies within a class, of the class around it."""
        parts = name.split(self._separator)
        while parts:
            found = self._files.get(self._separator.join(parts))
            if found:
                return self._sources.nearest(origin, found)
            parts.pop()
        return {}

    def used_of_package(self, origin: int, package: str) -> dict[int, float]:
        """The files of ``package`` that define a name which ``origin`` uses.

        Where it seems to use none, all files of the package share the weight.
        """
        members = [index for index in self.packages.get(package, ()) if index != origin]
        facts = self._sources.facts[origin]
        used = [
            index
            for index in members
            if any(
                definition.name in facts.uses and definition.kind not in ("function", "method")
                for definition in self._sources.facts[index].definitions
            )
        ]
        return dict.fromkeys(used, SURE) if used else shared(members)
