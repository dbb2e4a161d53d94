"""PHP: ``use`` by declared namespace and name, or where PSR-4 puts a class; ``require`` by its path."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from functools import cached_property

from treespan.jobs.graph.resolvers.named import NamedFiles
from treespan.jobs.graph.resolvers.php_paths import WrittenPath, read_constants, read_path
from treespan.jobs.graph.resolvers.reference import NEAREST, SURE, Reference, Sources, inside

LANGUAGES = ("PHP",)
_INSTALLED = "vendor"
"""Composer puts other packages there."""

_KEYWORD = re.compile(r"^(?:require|include)(?:_once)?\s*", re.IGNORECASE)


class PhpResolver:
    """Imports of PHP files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._named = NamedFiles(sources, sources.of(LANGUAGES), "\\")
        self._roots = sorted(set(_psr4(sources)), key=lambda root: (-len(root[0]), root))

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            if statement.text.startswith("use"):
                for written in _names(statement.text):
                    yield self._used(index, written)
            else:
                yield self._required(index, _KEYWORD.sub("", statement.text))

    def _used(self, index: int, written: str) -> Reference:
        known = self._named.knows(written)
        found = self._named.longest(index, written) if known else {}
        if not found and written in self._named.packages:
            return Reference(written, True, self._named.used_of_package(index, written))
        if not found:
            places = (
                inside(folder, written[len(prefix) :].replace("\\", "/") + ".php")
                for prefix, folder in self._roots
                if written.startswith(prefix)
            )
            target = self._sources.first(places)
            found = {} if target is None else {target: SURE}
        return Reference(written, known or bool(found), found)

    def _required(self, index: int, expression: str) -> Reference:
        own = self._sources.files[index].path
        value = read_path(expression, own, self._constants)
        name = expression.strip()
        while name.startswith("(") and name.endswith(")"):
            name = name[1:-1].strip()
        path = posixpath.normpath(value.path.lstrip("/"))
        if not value.path.strip("/") or path == ".":
            return Reference(name, False)
        if value.is_placed:
            target = self._sources.by_path.get(path)
            other = path.startswith("..") or _INSTALLED in path.split("/")
            return Reference(name, target is not None or not other, _sure(target))
        if value.is_whole:
            target = self._sources.first((inside(posixpath.dirname(own), path), path))
            if target is not None:
                return Reference(name, True, _sure(target))
        while path.startswith("../"):
            path = path[3:]
        namesakes = self._sources.by_name.get(posixpath.basename(path), [])
        ended = [at for at in namesakes if f"/{self._sources.files[at].path}".endswith(f"/{path}")]
        nearest = self._sources.nearest(index, ended)
        return Reference(
            name, bool(namesakes), {at: min(weight, NEAREST) for at, weight in nearest.items()}
        )

    @cached_property
    def _constants(self) -> dict[str, WrittenPath]:
        files = (self._sources.files[index] for index in self._sources.of(LANGUAGES))
        return read_constants({file.path: file.text for file in files})


def _sure(target: int | None) -> dict[int, float]:
    return {} if target is None else {target: SURE}


def _psr4(sources: Sources) -> Iterator[tuple[str, str]]:
    """Prefixes of namespaces with their folders, from every composer.json."""
    for index in sources.by_name.get("composer.json", ()):
        folder = posixpath.dirname(sources.files[index].path)
        try:
            manifest = json.loads(sources.files[index].text)
        except (ValueError, RecursionError):
            continue  # not what Composer takes: no help
        for section in ("autoload", "autoload-dev"):
            for prefix, folders in _table(_table(manifest, section), "psr-4").items():
                for written in folders if isinstance(folders, list) else [folders]:
                    if isinstance(written, str):
                        yield prefix, inside(folder, written)


def _table(values: object, name: str) -> dict[str, object]:
    found = values.get(name) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _names(text: str) -> Iterator[str]:
    body = re.sub(r"^use\s+(function\s+|const\s+)?", "", text.strip().rstrip(";"))
    prefix, brace, inner = body.partition("{")
    for item in (inner.rstrip("} \n") if brace else body).split(","):
        name = re.split(r"\s+as\s+", item.strip())[0].strip()
        name = re.sub(r"^(function|const)\s+", "", name)
        if name:
            yield (prefix.strip() + name if brace else name).lstrip("\\")
