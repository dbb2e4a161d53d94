"""Ruby and Lua: ``require`` names a path without its ending, from some folder of a search path."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from treespan.jobs.graph.resolvers.reference import SURE, Reference, Sources, inside

_STRING = re.compile(r"['\"]([^'\"#]+)['\"]|\[\[(.*?)\]\]")


_OWN_PLACE = re.compile(r"#\{__dir__\}|\b__dir__\b|\b__FILE__\b")
_SEARCHED = frozenset({"lib", "test", "tests", "spec", "ext", "app"})
"""Folders that Ruby's tools put on the search path (ours: as RubyGems, rake and rspec do)."""


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
    """``require``, ``require_relative``, ``load`` and ``autoload`` of Ruby files.

    A required path is looked for in the folders that are commonly searched, the nearest first. It
    is the repository's own if one of these folders (the top aside, which rarely is one) has its
    first part.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._tails = _Tails(sources, ("Ruby",), (".rb",))
        self._first: dict[str, set[str]] = {}
        for index in sources.of(("Ruby",)):
            parts = sources.files[index].path.removesuffix(".rb").split("/")
            for depth, part in enumerate(parts[:-1]):
                if part in _SEARCHED:
                    self._first.setdefault(parts[depth + 1], set()).add(
                        "/".join(parts[: depth + 1])
                    )

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            found = _OWN_PLACE.sub("", statement.text)
            strings = [match[1] for match in _STRING.finditer(found) if match[1]]
            if not strings:
                continue  # computed: nobody's to resolve
            written = "/".join(strings).replace("//", "/").strip()
            is_placed = found != statement.text or written.startswith(".")
            if is_placed or statement.text.startswith("require_relative"):
                yield self._placed(index, written, statement.text)
            else:
                yield self._searched(index, written)

    def _placed(self, index: int, written: str, text: str) -> Reference:
        own = self._sources.files[index].path
        expanded = "expand_path" in text and "__FILE__" in text and "dirname" not in text
        folder = own if expanded else posixpath.dirname(own)
        path = written.lstrip("/").removesuffix(".rb") + ".rb"
        bare = written.lstrip("/")  # what is loaded may be a script without an ending
        target = self._sources.first(
            (inside(folder, path), posixpath.normpath(path), inside(folder, bare))
        )
        return Reference(written, True, {} if target is None else {target: SURE})

    def _searched(self, index: int, written: str) -> Reference:
        path = posixpath.normpath(written.removesuffix(".rb"))
        folders = self._first.get(path.partition("/")[0], set())
        candidates = [inside(folder, f"{path}.rb") for folder in sorted(folders)]
        found = [self._sources.by_path[at] for at in candidates if at in self._sources.by_path]
        if not found:
            top = self._sources.first([f"{path}.rb"])
            found = [] if top is None else [top]
        if not found and folders and "/" in path:
            return Reference(written, True, self._tails.find(index, path))
        return Reference(written, bool(folders or found), self._sources.nearest(index, found))


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
