"""The module trees of the Rust crates in a repository: which file holds which module.

Declarations (``mod x;``) are followed where they stand. What no declaration tells, because a macro
made it or its file was dropped, is told by the paths of the files.
"""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from treespan.jobs.graph.facts import Statement
from treespan.jobs.graph.resolvers.reference import Sources, inside

_MOD = re.compile(r"(?:^|[\s\])])mod\s+(?:r#)?(\w+)\s*;$")
_PATH = re.compile(r"#\[\s*path\s*=\s*\"([^\"]+)\"")
_HOLDERS = ("lib.rs", "main.rs", "mod.rs")
"""Files whose child modules lie beside them, in the order in which they are taken for a root."""

_TARGET_FOLDERS = frozenset({"bin", "tests", "examples", "benches"})
"""Cargo makes every file in these a crate of its own."""


@dataclass(frozen=True)
class Module:
    """A file, and the inline modules within it that lead to the place meant."""

    file: int
    scope: tuple[str, ...] = ()


class RustModules:
    """The files ``indices`` as module trees."""

    def __init__(self, sources: Sources, indices: Sequence[int]) -> None:
        self._sources = sources
        self._children: dict[tuple[int, tuple[str, ...]], int] = {}
        self._parents: dict[int, Module] = {}
        self._manifests: dict[str, dict[str, Any]] = {}
        self._inline = {
            index: {
                statement.scope[:depth]
                for statement in sources.facts[index].imports
                for depth in range(1, len(statement.scope) + 1)
            }
            for index in indices
        }
        for index in sorted(indices, key=self._rank):
            for statement in sources.facts[index].imports:
                name = declared_name(statement)
                found = None if name is None else self.declared(index, name, statement)
                if name is None or found is None or found == index:
                    continue
                self._children.setdefault((index, (*statement.scope, name)), found)
                self._parents.setdefault(found, Module(index, statement.scope))

    def declared(self, index: int, name: str, statement: Statement) -> int | None:
        """The file of ``mod name;`` in the file ``index``."""
        path = self._sources.files[index].path
        given = _PATH.search(statement.text)
        if given is not None:
            base = posixpath.join(posixpath.dirname(path), *statement.scope)
            return self._sources.by_path.get(inside(base, given[1]))
        return self._below(index, statement.scope, name)

    def child(self, module: Module, name: str) -> Module | None:
        """The module ``name`` right within ``module``, if that is a file or leads to one."""
        scope = (*module.scope, name)
        found = self._children.get((module.file, scope))
        if found is None:
            found = self._below(module.file, module.scope, name)
        if found is not None and found != module.file:
            return Module(found)
        return Module(module.file, scope) if scope in self._inline[module.file] else None

    def parent(self, module: Module) -> Module | None:
        """The module around ``module``; None for the root of a crate."""
        if module.scope:
            return Module(module.file, module.scope[:-1])
        if module.file in self._parents:
            return self._parents[module.file]
        folder, name = posixpath.split(self._sources.files[module.file].path)
        if name == "mod.rs":
            folder = posixpath.dirname(folder)
        elif name in _HOLDERS or self._is_target(folder):
            return None
        beside = [posixpath.join(folder, holder) for holder in _HOLDERS]
        found = self._sources.first([*beside, f"{folder}.rs"])
        return None if found is None or found == module.file else Module(found)

    def root(self, index: int) -> Module:
        """The root of the crate that the file ``index`` belongs to."""
        module, seen = Module(index), {index}
        while (above := self.parent(module)) is not None and above.file not in seen:
            module = above if not above.scope else Module(above.file)
            seen.add(module.file)
        return module

    def libraries(self) -> Iterator[tuple[str, Module]]:
        """Libraries by the name that ``use`` has for them; an empty name where no manifest and no
        folder tells it."""
        for index in self._sources.by_name.get("lib.rs", ()):
            folder = posixpath.dirname(self._sources.files[index].path)
            package = posixpath.dirname(folder) if posixpath.basename(folder) == "src" else folder
            manifest = self._manifest(package)
            name = manifest.get("lib", {}).get("name") or manifest.get("package", {}).get("name")
            yield str(name or posixpath.basename(package)).replace("-", "_"), Module(index)

    def is_first_edition(self, index: int) -> bool:
        """Whether paths of ``use`` start at the root of the crate, as they did in 2015."""
        folder = posixpath.dirname(self._sources.files[index].path)
        while True:
            package = self._manifest(folder).get("package")
            if package is not None:
                return bool(package.get("edition", "2015") == "2015")
            if not folder:
                return True
            folder = posixpath.dirname(folder)

    def _manifest(self, folder: str) -> dict[str, Any]:
        if folder not in self._manifests:
            index = self._sources.by_path.get(posixpath.join(folder, "Cargo.toml"))
            text = "" if index is None else self._sources.files[index].text
            try:
                written = tomllib.loads(text)
            except (tomllib.TOMLDecodeError, RecursionError):
                written = {}
            tables = {name: table for name, table in written.items() if isinstance(table, dict)}
            self._manifests[folder] = tables
        return self._manifests[folder]

    def _below(self, index: int, scope: tuple[str, ...], name: str) -> int | None:
        path = self._sources.files[index].path
        folder, stem = posixpath.dirname(path), path.removesuffix(".rs")
        beside = posixpath.basename(path) in _HOLDERS or self._is_target(folder)
        places = [folder, stem] if beside or posixpath.basename(path) == "build.rs" else [stem]
        bases = [posixpath.join(place, *scope, name) for place in places]
        return self._sources.first(
            candidate for base in bases for candidate in (f"{base}.rs", f"{base}/mod.rs")
        )

    def _is_target(self, folder: str) -> bool:
        return posixpath.basename(folder) in _TARGET_FOLDERS

    def _rank(self, index: int) -> tuple[int, str]:
        """Libraries declare first: what a program declares as well belongs to the library."""
        path = self._sources.files[index].path
        name = posixpath.basename(path)
        return _HOLDERS.index(name) if name in _HOLDERS else len(_HOLDERS), path


def declared_name(statement: Statement) -> str | None:
    """``x`` if the statement is ``mod x;``."""
    found = _MOD.search(statement.text)
    return found[1] if found else None
