"""Files by the full names of what they define: package or namespace, then the symbol.

Shared by the languages whose imports name symbols and not files: Java and its kin, C#, PHP.
"""

from __future__ import annotations

from collections.abc import Sequence

from treespan.jobs.graph.resolvers.package_files import PackageFiles
from treespan.jobs.graph.resolvers.reference import Sources


class NamedFiles:
    """An index of full names. ``separator`` stands between their parts."""

    def __init__(self, sources: Sources, indices: Sequence[int], separator: str) -> None:
        self._sources, self._separator = sources, separator
        self.packages: dict[str, list[int]] = {}
        """The files that declare a package."""
        self._files: dict[str, list[int]] = {}
        self._package_files = PackageFiles(sources, indices)
        for index in indices:
            facts = sources.facts[index]
            if not facts.definitions:
                continue
            # Which of several packages in a file defines what is not told apart: few files have
            # more than one.
            for package in facts.packages or ("",):
                self.packages.setdefault(package, []).append(index)
                for name in sorted({definition.name for definition in facts.definitions}):
                    full = f"{package}{separator}{name}" if package else name
                    self._files.setdefault(full, []).append(index)

    def knows(self, name: str) -> bool:
        """Whether what stands right above ``name`` is a package or a symbol of the repository. A
        package further up may be shared with other projects.
        """
        above = name.rpartition(self._separator)[0]
        return bool(above) and (above in self.packages or above in self._files)

    def below_package(self, name: str) -> list[str] | None:
        """The parts of ``name`` below the longest package of the repository above or at it."""
        parts = name.split(self._separator)
        for depth in range(len(parts), 0, -1):
            if self._separator.join(parts[:depth]) in self.packages:
                return parts[depth:]
        return None

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
        """The files of ``package`` that define a name which ``origin`` uses."""
        return self._package_files.meant(origin, self.packages.get(package, ()))
