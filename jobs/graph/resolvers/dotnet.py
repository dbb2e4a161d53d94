"""C#: a namespace means those of its files that define a name which the importing file uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.named import NamedFiles
from treespan.jobs.graph.resolvers.reference import Reference, Sources

LANGUAGES = ("C#",)
_USING = re.compile(r"(?:global\s+)?using\s+(?:static\s+|unsafe\s+)?(?:\w+\s*=\s*)?([\w.]+)")


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
            written = found[1]
            if written in self._named.packages:
                yield Reference(written, True, self._named.used_of_package(index, written))
            elif self._named.knows(written):
                yield Reference(written, True, self._named.longest(index, written))
            else:
                yield Reference(written, False)
