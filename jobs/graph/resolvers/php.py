"""PHP: ``use`` by declared namespace and name, ``require`` by the path in it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.named import NamedFiles
from treespan.jobs.graph.resolvers.reference import Reference, Sources, inside

LANGUAGES = ("PHP",)
_STRING = re.compile(r"['\"]([^'\"$]+)['\"]")


class PhpResolver:
    """Imports of PHP files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._named = NamedFiles(sources, sources.of(LANGUAGES), "\\")

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            if statement.text.startswith("use"):
                for written in _names(statement.text):
                    yield self._used(index, written)
                continue
            path = _STRING.search(statement.text)
            if path is not None:  # computed paths are nobody's to resolve
                yield self._required(index, path[1])

    def _used(self, index: int, written: str) -> Reference:
        found = self._named.longest(index, written) if self._named.knows(written) else {}
        if not found and written in self._named.packages:
            return Reference(written, True, self._named.used_of_package(index, written))
        return Reference(written, self._named.knows(written), found)

    def _required(self, index: int, written: str) -> Reference:
        folder = posixpath.dirname(self._sources.files[index].path)
        tail = written.lstrip("/")
        namesakes = self._sources.by_name.get(posixpath.basename(tail), [])
        target = self._sources.first((inside(folder, tail), posixpath.normpath(tail)))
        if target is not None:
            return Reference(written, True, {target: 1.0})
        while tail.startswith("../"):
            tail = tail[3:]
        ended = [at for at in namesakes if f"/{self._sources.files[at].path}".endswith(f"/{tail}")]
        return Reference(written, bool(namesakes), self._sources.nearest(index, ended))


def _names(text: str) -> Iterator[str]:
    body = re.sub(r"^use\s+(function\s+|const\s+)?", "", text.strip().rstrip(";"))
    prefix, brace, inner = body.partition("{")
    for item in (inner.rstrip("} \n") if brace else body).split(","):
        name = re.split(r"\s+as\s+", item.strip())[0].strip()
        name = re.sub(r"^(function|const)\s+", "", name)
        if name:
            yield (prefix.strip() + name if brace else name).lstrip("\\")
