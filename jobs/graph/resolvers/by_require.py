"""Ruby and Lua: ``require`` names a path without its ending, from some folder of a search path."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from treespan.jobs.graph.resolvers.reference import Reference, Sources, inside

_STRING = re.compile(r"['\"]([^'\"#]+)['\"]|\[\[(.*?)\]\]")


class _Tails:
    """Files by the tails of their paths, endings removed."""

    def __init__(self, sources: Sources, languages: Sequence[str], endings: Sequence[str]) -> None:
        self._sources = sources
        self._by_last: dict[str, list[tuple[str, int]]] = {}
        for index in sources.of(languages):
            path = sources.files[index].path
            for ending in endings:
                if path.endswith(ending):
                    stem = path.removesuffix(ending)
                    self._by_last.setdefault(posixpath.basename(stem), []).append((stem, index))
        self.parts = {
            part
            for found in self._by_last.values()
            for stem, _ in found
            for part in stem.split("/")
        }

    def find(self, origin: int, tail: str) -> dict[int, float]:
        """The nearest file whose path ends with ``tail``."""
        found = [
            index
            for stem, index in self._by_last.get(posixpath.basename(tail), ())
            if f"/{stem}".endswith(f"/{tail}")
        ]
        return self._sources.nearest(origin, found)


class RubyResolver:
    """``require``, ``require_relative``, ``load`` and ``autoload`` of Ruby files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._tails = _Tails(sources, ("Ruby",), (".rb",))

    def references(self, index: int) -> Iterator[Reference]:
        folder = posixpath.dirname(self._sources.files[index].path)
        for statement in self._sources.facts[index].imports:
            found = _STRING.search(statement.text)
            if found is None:
                continue
            written = found[1] or found[2]
            path = written.removesuffix(".rb")
            if statement.text.startswith("require_relative") or path.startswith("."):
                target = self._sources.by_path.get(inside(folder, f"{path}.rb"))
                yield Reference(written, True, {} if target is None else {target: 1.0})
            else:
                known = path.partition("/")[0] in self._tails.parts
                yield Reference(written, known, self._tails.find(index, path) if known else {})


class LuaResolver:
    """``require`` and ``dofile`` of Lua files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._tails = _Tails(sources, ("Lua",), (".lua", "/init.lua"))

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            found = _STRING.search(statement.text)
            if found is None:
                continue
            written = found[1] or found[2]
            path = written.removesuffix(".lua").replace(".", "/").strip("/")
            known = path.partition("/")[0] in self._tails.parts
            yield Reference(written, known, self._tails.find(index, path) if known else {})
