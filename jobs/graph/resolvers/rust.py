"""Rust: ``mod`` by its declaration, ``use`` by walking the module tree as far as it goes.

What is left of a path below the deepest module is an item, or a name that is passed on there. A
path whose rest that file does not even mention is unresolved: its module is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from treespan.jobs.graph.facts import Statement
from treespan.jobs.graph.resolvers.reference import SURE, Reference, Sources
from treespan.jobs.graph.resolvers.rust_modules import Module, RustModules, declared_name

LANGUAGES = ("Rust",)
_PASSED_ON = 0.5
"""Weight where a file does not mention the name but passes on all names of another (``*``)."""

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_EXTERN = re.compile(r"\bextern\s+crate\s+(\w+)")
_WORD = re.compile(r"\w+")


class RustResolver:
    """``mod``, ``use`` and ``extern crate`` of Rust files."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        indices = sources.of(LANGUAGES)
        self._modules = RustModules(sources, indices)
        self._words: dict[int, frozenset[str]] = {}
        self._crates: dict[str, Module] = {}
        for name, module in self._modules.libraries():
            name = name or self._voted_name(module, indices)
            if name:
                self._crates.setdefault(name, module)

    def references(self, index: int) -> Iterator[Reference]:
        for statement in self._sources.facts[index].imports:
            name = declared_name(statement)
            if name is not None:
                target = self._modules.declared(index, name, statement)
                yield Reference(f"mod {name}", True, {} if target is None else {target: SURE})
                continue
            for path in _paths(statement):
                yield self._used(index, path, statement.scope)

    def _used(self, index: int, path: list[str], scope: tuple[str, ...]) -> Reference:
        here: Module | None = Module(index, scope)
        first, rest = path[0], path[1:]
        if first in ("crate", "$crate"):
            return self._walked(path, self._modules.root(index), rest)
        if first in ("self", "super"):
            rest = path[1:] if first == "self" else path
            while here is not None and rest and rest[0] == "super":
                here, rest = self._modules.parent(here), rest[1:]
            return (
                Reference("::".join(path), True) if here is None else self._walked(path, here, rest)
            )
        assert here is not None
        if self._modules.child(here, first) is not None:
            return self._walked(path, here, path)
        if first in self._crates:
            return self._walked(path, self._crates[first], rest)
        root = self._modules.root(index)
        if self._modules.is_first_edition(index) and self._modules.child(root, first) is not None:
            return self._walked(path, root, path)
        return Reference("::".join(path), False)

    def _walked(self, path: list[str], module: Module, rest: list[str]) -> Reference:
        """The deepest module that ``rest`` leads to from ``module``; ``path`` is as written."""
        while rest and (child := self._modules.child(module, rest[0])) is not None:
            module, rest = child, rest[1:]
        targets: dict[int, float] = {}
        if not rest or rest[0] in self._mentioned(module.file):
            targets = {module.file: SURE}
        elif self._passes_on(module.file):
            targets = {module.file: _PASSED_ON}
        return Reference("::".join(path), True, targets)

    def _mentioned(self, index: int) -> frozenset[str]:
        if index not in self._words:
            text = _COMMENT.sub(" ", self._sources.files[index].text)
            self._words[index] = frozenset(_WORD.findall(text))
        return self._words[index]

    def _passes_on(self, index: int) -> bool:
        return any(
            statement.text.startswith("pub") and statement.text.rstrip("; }").endswith("*")
            for statement in self._sources.facts[index].imports
        )

    def _voted_name(self, library: Module, indices: Sequence[int]) -> str:
        """The name of a library that nothing names: that by which other crates of the repository
        import most of what its root mentions."""
        mentioned = self._mentioned(library.file)
        votes: Counter[str] = Counter()
        for index in indices:
            if self._modules.root(index) == library:
                continue
            for statement in self._sources.facts[index].imports:
                if declared_name(statement) is None:
                    votes.update(
                        path[0]
                        for path in _paths(statement)
                        if len(path) > 1 and path[1] in mentioned and path[0] not in _BUILT_IN
                    )
        return max(sorted(votes), key=lambda name: votes[name], default="")


_BUILT_IN = frozenset({"std", "core", "alloc", "proc_macro", "crate", "self", "super"})


def _paths(statement: Statement) -> Iterator[list[str]]:
    """What a ``use`` or ``extern crate`` names, each path in parts."""
    text = _COMMENT.sub(" ", statement.text)
    crate = _EXTERN.search(text)
    if crate is not None:
        yield [crate[1]]
        return
    tree = re.sub(r"^.*?\buse\b", "", text, count=1, flags=re.DOTALL).strip().rstrip(";")
    for path in _leaves(tree):
        yield [part.removeprefix("r#") for part in path]


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
