"""C#: a namespace means those of its files that define a name which the importing file uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.named import NamedFiles
from treespan.jobs.graph.resolvers.reference import Reference, Sources

LANGUAGES = ("C#",)
_USING = re.compile(
    r"(?:global\s+)?using\s+(?:static\s+|unsafe\s+)?(?:\w+\s*=\s*)?(?:global::)?([\w.]+)"
)


class DotnetResolver:
    """Usings of C# files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._named = NamedFiles(sources, sources.of(LANGUAGES), ".")

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            found = _USING.match(statement.text)
            if found is None:
                continue
            yield self._resolved(index, found[1])

    def _resolved(self, index: int, written: str) -> Reference:
        """What ``written`` means: a full name, or one seen from a namespace of the file."""
        for name in (written, *self._seen_from(index, written)):
            if name in self._named.packages:
                return Reference(written, True, self._named.used_of_package(index, name))
            if self._named.knows(name) and (found := self._named.longest(index, name)):
                return Reference(written, True, found)
        return Reference(written, self._named.knows(written))

    def _seen_from(self, index: int, written: str) -> Iterator[str]:
        for package in self._sources.facts[index].packages:
            parts = package.split(".")
            for depth in range(len(parts), 0, -1):
                yield ".".join([*parts[:depth], written])
