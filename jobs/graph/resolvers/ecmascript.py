"""JavaScript and TypeScript: relative paths, then what tsconfig.json and package.json say.

Written paths lack endings, name folders, or name the ``.js`` that a ``.ts`` file will become.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.ecmascript_config import (
    read_packages,
    read_projects,
)
from treespan.jobs.graph.resolvers.reference import Reference, Sources, inside

LANGUAGES = ("JavaScript", "TypeScript", "TSX", "Vue", "Svelte")
_ENDINGS = (
    ".ts", ".tsx", ".d.ts", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".d.mts", ".d.cts",
    ".vue", ".svelte", ".json",
)  # fmt: skip
_COMPILED = {
    ".js": (".ts", ".tsx", ".d.ts", ".jsx"),
    ".jsx": (".tsx",),
    ".mjs": (".mts", ".d.mts", ".ts"),
    ".cjs": (".cts", ".d.cts", ".ts"),
}
_ASSETS = (
    ".json", ".css", ".scss", ".sass", ".less", ".svg", ".png", ".jpg", ".gif", ".html", ".txt",
    ".md", ".wasm", ".node", ".woff2", ".glsl", ".yaml", ".yml",
)  # fmt: skip
"""No code: an import of such a file is not one of this repository's modules."""


class EcmascriptResolver:
    """Imports of JavaScript and TypeScript files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._packages = read_packages(sources)
        self._by_name = {package.name: package for package in self._packages if package.name}
        self._projects = read_projects(sources)

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            written = statement.text[1:-1]
            specifier = written.partition("?")[0].rpartition("!")[2]
            if specifier:
                yield self._resolved(index, specifier, written)

    def _resolved(self, index: int, specifier: str, written: str) -> Reference:
        folder = posixpath.dirname(self._sources.files[index].path)
        if specifier.startswith("."):
            target = self._at(inside(folder, specifier))
            asset = specifier.endswith(_ASSETS) and target is None
            return _reference(written, not asset, target)
        if specifier.startswith("#"):
            return self._by_imports(folder, specifier, written)
        for project in self._projects:
            if inside_of(folder, project.folder):
                paths = list(project.mapped(specifier))
                if paths:
                    target = next((t for path in paths if (t := self._at(path)) is not None), None)
                    if target is not None or project.is_sure(specifier):
                        return _reference(written, True, target)
        name = _package_name(specifier)
        if name in self._by_name:
            package = self._by_name[name]
            rest = specifier[len(name) :].lstrip("/")
            found = (self._at(path) for path in package.exported(rest))
            return _reference(written, True, next((t for t in found if t is not None), None))
        if specifier.startswith(("@/", "~/")):  # what bundlers call the root of the sources
            rest = specifier[2:]
            above = folder
            while True:
                for root in (f"{above}/src" if above else "src", above):
                    target = self._at(inside(root, rest))
                    if target is not None:
                        return _reference(written, True, target)
                if not above:
                    return Reference(written, True)
                above = posixpath.dirname(above)
        return Reference(written, False)

    def _by_imports(self, folder: str, specifier: str, written: str) -> Reference:
        for package in self._packages:
            if inside_of(folder, package.folder):
                found = [self._at(path) for path in package.internal(specifier)]
                if found:
                    return _reference(
                        written, True, next((t for t in found if t is not None), None)
                    )
        return Reference(written, False)

    def _at(self, path: str) -> int | None:
        """The file that ``path`` means, with an ending added or changed, or in a folder."""
        path = "" if path == "." else path
        tried = [path] if path else []
        stem, ending = posixpath.splitext(path)
        tried += [stem + other for other in _COMPILED.get(ending, ())]
        tried += [path + ending for ending in _ENDINGS] if path else []
        folder = f"{path}/" if path else ""
        for package in self._packages:
            if package.folder == path and path:
                tried += [f"{folder}{main}" for main in package.mains]
                tried += [
                    f"{folder}{main}{ending}" for main in package.mains for ending in _ENDINGS
                ]
        tried += [f"{folder}index{ending}" for ending in _ENDINGS]
        return self._sources.first(tried)


def inside_of(folder: str, other: str) -> bool:
    """Whether ``folder`` is ``other`` or lies below it."""
    return not other or folder == other or folder.startswith(f"{other}/")


def _reference(written: str, in_repository: bool, target: int | None) -> Reference:
    return Reference(written, in_repository, {} if target is None else {target: 1.0})


def _package_name(specifier: str) -> str:
    parts = specifier.split("/")
    return "/".join(parts[:2]) if specifier.startswith("@") else parts[0]
