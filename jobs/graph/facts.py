"""What one file defines, imports and uses: one parse and one query, without any other file.

The queries lie beside this module, one per grammar. Their captures: ``@definition.KIND`` (a name),
``@import`` (a statement, or the written path), ``@package`` (the declared package or namespace),
``@scope`` and ``@scope.body`` (an inline module), ``@use`` (a called or mentioned name) and
``@use.member`` (a name behind a dot, whose owner is unknown).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files as resources

from tree_sitter import Node, Parser, Query, QueryCursor

from treespan.jobs.graph.source_file import SourceFile
from treespan.model.grammars import has_grammar, load_language

QUERIES = {
    "C": "c",
    "C#": "csharp",
    "C++": "cpp",
    "Cuda": "cpp",
    "Elixir": "elixir",
    "Go": "go",
    "Java": "java",
    "JavaScript": "javascript",
    "Kotlin": "kotlin",
    "Lua": "lua",
    "Objective-C": "objc",
    "PHP": "php",
    "Python": "python",
    "Ruby": "ruby",
    "Rust": "rust",
    "Scala": "scala",
    "TSX": "typescript",
    "TypeScript": "typescript",
}
"""Linguist's language -> name of its query."""


@dataclass(frozen=True)
class Definition:
    """A symbol; ``line`` counts from 1."""

    name: str
    kind: str
    line: int


@dataclass(frozen=True)
class Statement:
    """An import as it stands in the source, and the inline modules around it, outermost first."""

    text: str
    scope: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What is known of one file by itself."""

    definitions: Sequence[Definition] = ()
    imports: Sequence[Statement] = ()
    uses: Counter[str] = field(default_factory=Counter)
    """Names called or mentioned, and how often."""
    members: Counter[str] = field(default_factory=Counter)
    """Names behind a dot."""
    package: str = ""
    """The declared package or namespace."""


NOTHING = Facts()


def can_read(language: str) -> bool:
    """Whether there is a query and a grammar for ``language``."""
    return language in QUERIES and has_grammar(language)


def read_facts(file: SourceFile) -> Facts:
    """The facts of ``file``, whose language must be one that ``can_read``."""
    parser, query = _compiled(file.language)
    data = file.text.encode(errors="surrogatepass")
    captures = QueryCursor(query).captures(parser.parse(data).root_node)

    def text(node: Node) -> str:
        return data[node.start_byte : node.end_byte].decode(errors="replace")

    definitions = {
        (node.start_byte, kind.partition(".")[2]): text(node)
        for kind, nodes in captures.items()
        if kind.startswith("definition.")
        for node in nodes
    }
    lines = _Lines(data)
    packages = captures.get("package", [])
    return Facts(
        [
            Definition(name, kind, lines.at(start))
            for (start, kind), name in sorted(definitions.items())
        ],
        _statements(captures, text),
        _counted(captures.get("use", []), data),
        _counted(captures.get("use.member", []), data),
        text(min(packages, key=lambda node: node.start_byte)) if packages else "",
    )


def _statements(captures: dict[str, list[Node]], text: Callable[[Node], str]) -> list[Statement]:
    bodies = sorted(captures.get("scope.body", []), key=lambda node: node.start_byte)
    names = sorted(captures.get("scope", []), key=lambda node: node.start_byte)
    attributes = {node.end_byte: text(node) for node in captures.get("import.attribute", [])}
    found = []
    for node in sorted(captures.get("import", []), key=lambda node: node.start_byte):
        scope = tuple(
            text(name)
            for name, body in zip(names, bodies, strict=True)
            if body.start_byte <= node.start_byte < body.end_byte
        )
        before = node.prev_sibling if attributes else None
        attribute = attributes.get(before.end_byte, "") if before is not None else ""
        found.append(Statement(attribute + text(node), scope))
    return found


def _counted(nodes: Sequence[Node], data: bytes) -> Counter[str]:
    counts = Counter([data[node.start_byte : node.end_byte] for node in nodes])
    return Counter({name.decode(errors="replace"): count for name, count in counts.items()})


class _Lines:
    """Line numbers of ascending positions, counted along."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._line = data, 0, 1

    def at(self, position: int) -> int:
        self._line += self._data.count(b"\n", self._at, position)
        self._at = position
        return self._line


@cache
def _compiled(language: str) -> tuple[Parser, Query]:
    grammar = load_language(language)
    source = resources(__package__).joinpath("queries", f"{QUERIES[language]}.scm").read_text()
    return Parser(grammar), Query(grammar, source)
