"""Rust: ``mod`` by the rules of the module tree, ``use`` by walking that tree.

A file's module is told by its path below its crate's root, the folder of ``lib.rs`` or ``main.rs``.
Other crates of the repository go by the name in Cargo.toml, or else by the name of their folder.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from treespan.jobs.graph.facts import Statement
from treespan.jobs.graph.resolvers.reference import Reference, Sources, inside

LANGUAGES = ("Rust",)
_ROOTS = ("lib.rs", "main.rs", "mod.rs")
_NAME = re.compile(r"^\s*name\s*=\s*\"([^\"]+)\"", re.MULTILINE)
_MOD = re.compile(r"\bmod\s+(?:r#)?(\w+)\s*;")
_PATH = re.compile(r"#\[\s*path\s*=\s*\"([^\"]+)\"")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class _Module:
    """A place in the module tree: the file that holds it, and the folder of its children."""

    file: int | None
    folder: str


class RustResolver:
    """``mod`` and ``use`` of Rust files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._indices = sources.of(LANGUAGES)
        self._crates = self._named_crates()

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            module = _MOD.search(statement.text)
            if module is not None and "use " not in statement.text:
                yield self._declared(index, module[1], statement)
                continue
            text = _COMMENT.sub(" ", statement.text)
            tree = re.sub(r"^.*?\buse\b", "", text, count=1, flags=re.DOTALL).strip().rstrip(";")
            for path in _leaves(tree):
                yield self._used(index, path, statement.scope)

    def _declared(self, index: int, name: str, statement: Statement) -> Reference:
        given = _PATH.search(statement.text)
        if given is not None:
            target = self._sources.by_path.get(
                inside(posixpath.dirname(self._sources.files[index].path), given[1])
            )
            return _reference(f"mod {name}", True, target)
        folder = posixpath.join(self._children(index), *statement.scope)
        return _reference(f"mod {name}", True, self._file_of(folder, name))

    def _used(self, index: int, path: list[str], scope: tuple[str, ...]) -> Reference:
        written = "::".join(path)
        here = [*scope]
        first, rest = path[0], path[1:]
        if first in ("crate", "$crate"):
            return self._walked(written, self._root(index), rest)
        if first in ("self", "super"):
            module = self._module(index)
            while rest and first == "self" and rest[0] == "super":
                first, rest = rest[0], rest[1:]
            while first == "super":
                if here:
                    here.pop()
                else:
                    module = self._parent(module)
                if not rest or rest[0] != "super":
                    break
                rest = rest[1:]
            if here:
                return Reference(written, True, {index: 1.0})
            return self._walked(written, module, rest)
        if first in self._crates:
            return self._walked(written, self._crates[first], rest)
        child = self._file_of(self._children(index), first)
        if child is not None:
            return self._walked(written, self._module(index), path)
        return Reference(written, False)

    def _walked(self, written: str, module: _Module, path: list[str]) -> Reference:
        """The deepest module that ``path`` leads to from ``module``; what is left is an item."""
        for name in path:
            child = self._file_of(module.folder, name)
            if child is None:
                break
            module = _Module(child, posixpath.join(module.folder, name))
        return _reference(written, True, module.file)

    def _file_of(self, folder: str, name: str) -> int | None:
        name = name.removeprefix("r#")
        base = posixpath.join(folder, name)
        return self._sources.first((f"{base}.rs", f"{base}/mod.rs"))

    def _is_root(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in _ROOTS or posixpath.basename(folder) in (
            "bin",
            "tests",
            "examples",
            "benches",
        )

    def _children(self, index: int) -> str:
        """The folder of the child modules of a file."""
        path = self._sources.files[index].path
        folder, name = posixpath.split(path)
        if name == "build.rs" or self._is_root(path):
            return folder
        return path.removesuffix(".rs")

    def _module(self, index: int) -> _Module:
        return _Module(index, self._children(index))

    def _parent(self, module: _Module) -> _Module:
        """The module around one: its file lies beside the folder, or is a root within it."""
        folder = posixpath.dirname(module.folder)
        if module.file is not None and self._is_crate_root(module.file):
            folder = module.folder
        file = self._sources.first(
            [posixpath.join(folder, root) for root in ("mod.rs", "lib.rs", "main.rs")]
            + ([f"{folder}.rs"] if folder else [])
        )
        return _Module(file, folder)

    def _is_crate_root(self, index: int) -> bool:
        return posixpath.basename(self._sources.files[index].path) in ("lib.rs", "main.rs")

    def _root(self, index: int) -> _Module:
        """The crate of a file: the nearest folder above it that holds ``lib.rs`` or ``main.rs``."""
        path = self._sources.files[index].path
        folder = posixpath.dirname(path)
        if posixpath.basename(path) in ("lib.rs", "main.rs"):
            return _Module(index, folder)
        start = folder
        while True:
            root = self._sources.first(
                posixpath.join(folder, name) for name in ("lib.rs", "main.rs")
            )
            if root is not None:
                return _Module(root, folder)
            if not folder:
                return _Module(index, start)  # a test or an example: its own root
            folder = posixpath.dirname(folder)

    def _named_crates(self) -> dict[str, _Module]:
        """Libraries of the repository by the names that ``use`` has for them."""
        found: dict[str, _Module] = {}
        for index in self._indices:
            path = self._sources.files[index].path
            if posixpath.basename(path) != "lib.rs":
                continue
            folder = posixpath.dirname(path)
            package = posixpath.dirname(folder) if posixpath.basename(folder) == "src" else folder
            name = posixpath.basename(package)
            manifest = self._sources.by_path.get(posixpath.join(package, "Cargo.toml"))
            if manifest is not None:
                named = _NAME.search(self._sources.files[manifest].text)
                name = named[1] if named else name
            if name:
                found.setdefault(name.replace("-", "_"), _Module(index, folder))
        return found


def _reference(written: str, in_repository: bool, target: int | None) -> Reference:
    return Reference(written, in_repository, {} if target is None else {target: 1.0})


def _leaves(tree: str) -> Iterator[list[str]]:
    """The paths of a ``use`` tree; ``as`` and ``self`` ends are dropped, ``*`` too."""
    tree = tree.strip()
    head, brace, _ = tree.partition("{")
    if not brace:
        name = re.split(r"\bas\b", tree)[0]
        parts = [part.strip() for part in name.split("::") if part.strip()]
        if len(parts) > 1 and parts[-1] in ("self", "*"):
            parts = parts[:-1]
        if parts and parts != ["*"]:
            yield parts
        return
    prefix = [part.strip() for part in head.split("::") if part.strip()]
    inner = tree[len(head) + 1 : tree.rfind("}")]
    for item in _split(inner):
        if not item.strip():
            continue
        for rest in _leaves(item):
            rest = rest[:-1] if rest == ["self"] else rest
            if prefix or rest:
                yield [*prefix, *rest]


def _split(text: str) -> Iterator[str]:
    """``text`` cut at the commas outside of braces."""
    depth = start = 0
    for position, character in enumerate(text):
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]
