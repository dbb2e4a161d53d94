"""Python: relative imports by path, absolute ones by the tails of paths.

Where an import root lies is unknown (``src/``, ``lib/``), so a module answers to every tail of its
path that starts at or above its own root: the nearest folder above it that is no package. A folder
is a package if it has an ``__init__`` file, or (curation drops empty ones) if a file in or below it
imports relatively through it, and finds what it imports.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator

from treespan.jobs.graph.resolvers.reference import Reference, Sources

LANGUAGES = ("Python", "Cython")
_ENDINGS = (".py", ".pyi", ".pyx", ".pxd")
_MODULE = ("/__init__.py", ".py", "/__init__.pyi", ".pyi", ".pyx", ".pxd")
_NOISE = re.compile(r"#[^\n]*|\\\r?\n")
_FROM = re.compile(r"from\s*([.\w\s]+?)\s*\bimport\b(.*)", re.DOTALL)
_ROOTS = frozenset({"", "src", "lib", "Lib", "python"})
"""Where a module may hide one of the standard library; elsewhere its name means the library's."""


class PythonResolver:
    """Imports of Python files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        indices = [
            index for index in sources.of(LANGUAGES) if sources.files[index].path.endswith(_ENDINGS)
        ]
        self._imports = {index: list(self._parsed(index)) for index in indices}
        packages = self._packages(indices)
        self._by_tail: dict[str, list[int]] = {}
        self._top: set[str] = set()
        for index in indices:
            parts = _module(sources.files[index].path).split("/")
            root = len(parts) - 1
            while root and "/".join(parts[:root]) in packages:
                root -= 1
            for start in range(root + 1):
                hides = parts[start] in sys.stdlib_module_names
                if hides and "/".join(parts[:start]) not in _ROOTS:
                    continue
                self._by_tail.setdefault(".".join(parts[start:]), []).append(index)
                self._top.add(parts[start])

    def references(self, index: int) -> Iterator[Reference]:
        for module, name in self._imports.get(index, ()):
            level = len(module) - len(module.lstrip("."))
            written = module + ("" if module.endswith(".") else ".") + name if name else module
            if level:
                yield self._relative(index, module[level:], level, name, written)
            else:
                yield self._absolute(index, module, name, written)

    def _relative(self, index: int, module: str, level: int, name: str, written: str) -> Reference:
        folder = posixpath.dirname(self._sources.files[index].path).split("/")
        folder = [] if folder == [""] else folder
        if level - 1 > len(folder):
            return Reference(written, True)
        base = "/".join([*folder[: len(folder) - level + 1], *filter(None, module.split("."))])
        target = None
        if name:
            target = self._sources.first(f"{base}/{name}".lstrip("/") + end for end in _MODULE)
        if target is None:
            target = self._sources.first((base + end).lstrip("/") for end in _MODULE)
        return Reference(written, True, {} if target is None else {target: 1.0})

    def _absolute(self, index: int, module: str, name: str, written: str) -> Reference:
        if module.partition(".")[0] not in self._top:
            return Reference(written, False)
        candidates = self._by_tail.get(f"{module}.{name}", []) if name else []
        candidates = candidates or self._by_tail.get(module, [])
        preferred = [at for at in candidates if self._sources.files[at].path.endswith(".py")]
        return Reference(written, True, self._sources.nearest(index, preferred or candidates))

    def _packages(self, indices: list[int]) -> set[str]:
        found: set[str] = set()
        for index in indices:
            path = self._sources.files[index].path
            folder, _, name = path.rpartition("/")
            if name.startswith("__init__."):
                found.add(folder)
            for module, imported in self._imports[index]:
                level = len(module) - len(module.lstrip("."))
                if (
                    not level
                    or not self._relative(index, module[level:], level, imported, "").targets
                ):
                    continue
                above = folder
                for _ in range(level):
                    found.add(above)
                    above = posixpath.dirname(above)
        return found

    def _parsed(self, index: int) -> Iterator[tuple[str, str]]:
        """Pairs of module and imported name; ``import a`` has no name, nor has ``*``."""
        for statement in self._sources.facts[index].imports:
            text = _NOISE.sub(" ", statement.text)
            found = _FROM.match(text)
            if found is None:
                for name in text.removeprefix("import").split(","):
                    if name.split():
                        yield name.split()[0], ""
                continue
            module = "".join(found[1].split())
            for name in found[2].strip().strip("()").split(","):
                if name.split():
                    yield module, name.split()[0].replace("*", "")


def _module(path: str) -> str:
    return path.rpartition(".")[0].removesuffix("/__init__")
