"""What tsconfig.json and package.json say about names of modules, as far as curation kept them."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from treespan.jobs.graph.resolvers.reference import Sources, inside

_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')
_MAINS = ("source", "types", "typings", "module", "main", "browser")


@dataclass(frozen=True)
class Project:
    """A tsconfig.json or jsconfig.json."""

    folder: str
    base: str | None
    paths: Mapping[str, list[str]]

    def mapped(self, specifier: str) -> Iterator[str]:
        """Paths from the repository's top that ``specifier`` may mean, the likeliest first."""
        for pattern, targets in sorted(self.paths.items(), key=lambda item: -len(item[0])):
            star = _matched(pattern, specifier)
            if star is not None:
                root = self.folder if self.base is None else self.base
                yield from (inside(root, target.replace("*", star)) for target in targets)
        if self.base is not None:
            yield inside(self.base, specifier)

    def is_sure(self, specifier: str) -> bool:
        """Whether a pattern other than ``*`` is made for ``specifier``."""
        return any(
            pattern != "*" and _matched(pattern, specifier) is not None for pattern in self.paths
        )


@dataclass(frozen=True)
class Package:
    """A package.json."""

    folder: str
    name: str
    mains: tuple[str, ...]
    exports: Any
    imports: Any

    def exported(self, subpath: str) -> Iterator[str]:
        """Paths that ``name/subpath`` may mean. Those of built files are followed by guesses at
        their sources, since what is built is not in the repository.
        """
        key = f"./{subpath}" if subpath else "."
        written = list(_targets(self.exports, key))
        if not subpath:
            written += self.mains
        for path in written:
            yield inside(self.folder, path)
            yield inside(self.folder, re.sub(r"^(\./)?(dist|lib|build|out)/", "src/", path))
        for root in ("", "src", "lib"):
            yield inside(self.folder, posixpath.join(root, subpath or "index"))

    def internal(self, specifier: str) -> Iterator[str]:
        """Paths that ``#name`` may mean by the package's ``imports``."""
        return (inside(self.folder, path) for path in _targets(self.imports, specifier))


def read_packages(sources: Sources) -> list[Package]:
    """Every package.json, the innermost folders first."""
    found = []
    for folder, values in _read(sources, ("package.json",)):
        mains = tuple(values[key] for key in _MAINS if isinstance(values.get(key), str))
        name = values.get("name")
        found.append(
            Package(
                folder,
                name if isinstance(name, str) else "",
                mains,
                values.get("exports"),
                values.get("imports"),
            )
        )
    return found


def read_projects(sources: Sources) -> list[Project]:
    """Every tsconfig.json and its kin, the innermost folders first."""
    found = []
    for folder, values in _read(sources, ("tsconfig.json", "tsconfig.base.json", "jsconfig.json")):
        options = values.get("compilerOptions")
        if not isinstance(options, dict):
            continue
        base, paths = options.get("baseUrl"), options.get("paths")
        kept = {
            pattern: [target for target in targets if isinstance(target, str)]
            for pattern, targets in (paths.items() if isinstance(paths, dict) else ())
            if isinstance(targets, list)
        }
        if kept or isinstance(base, str):
            root = inside(folder, base) if isinstance(base, str) else None
            found.append(Project(folder, root, kept))
    return found


def _read(sources: Sources, names: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name in names:
        for index in sources.by_name.get(name, ()):
            file = sources.files[index]
            text = _COMMENT.sub(lambda match: match[1] or " ", file.text)
            try:
                values = json.loads(_TRAILING.sub(lambda match: match[1] or "", text))
            except (ValueError, RecursionError):
                continue
            if isinstance(values, dict):
                found.append((posixpath.dirname(file.path), values))
    return sorted(found, key=lambda item: (-len(item[0]), item[0]))


def _targets(table: Any, key: str) -> Iterator[str]:
    """The paths that an ``exports`` or ``imports`` table has for ``key``, of all conditions."""
    if not isinstance(table, dict) or (table and not any(k[:1] in ".#" for k in table)):
        if key == ".":
            yield from _leaves(table, "")
        return
    for pattern, value in sorted(table.items(), key=lambda item: (-len(item[0]), item[0])):
        star = _matched(pattern, key)
        if star is not None:
            yield from _leaves(value, star)


def _leaves(value: Any, star: str) -> Iterator[str]:
    if isinstance(value, str):
        yield value.replace("*", star)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner, star)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, star)


def _matched(pattern: str, text: str) -> str | None:
    """What ``*`` of ``pattern`` stands for in ``text``; empty for equal texts, else None."""
    head, star, tail = pattern.partition("*")
    if not star:
        return "" if pattern == text else None
    if text.startswith(head) and text.endswith(tail) and len(text) >= len(head) + len(tail):
        return text[len(head) : len(text) - len(tail)]
    return None
