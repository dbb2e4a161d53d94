"""What the query of a language finds in a tree, as byte ranges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tree_sitter import Node, Query, QueryCursor

from treespan.model.grammars import has_grammar, load_language

QUERIES = {
    "C": "c",
    "C#": "csharp",
    "C++": "cpp",
    "Elixir": "elixir",
    "Go": "go",
    "Java": "java",
    "JavaScript": "javascript",
    "Kotlin": "kotlin",
    "Lua": "lua",
    "PHP": "php",
    "Python": "python",
    "Ruby": "ruby",
    "Rust": "rust",
    "Scala": "scala",
    "Swift": "swift",
    "TSX": "typescript",
    "TypeScript": "typescript",
}
"""Linguist language -> file in ``queries``."""

COMPOUNDS = ("if", "for", "while", "try", "switch")
"""Kinds that are statements of their own; they are captured by their names."""

_RANGES = ("comment", "annotation", "docstring", "clause")
_OTHERS = ("comment", "docstring", "clause")


@dataclass(frozen=True)
class Captures:
    """Bytes [start, end) of what was found, by what it is. Blanks at ends are left as they are."""

    methods: dict[int, tuple[int, int]]
    """Start of a body -> the widest definition around it, with decorators and ``export``."""
    bodies: dict[int, Node]
    """Start of a body -> its node; those of closures too."""
    statements: set[tuple[int, int]]
    """Compound ones too."""
    compounds: dict[str, set[tuple[int, int]]]
    """By kind."""
    comments: dict[int, int]
    """Start -> end."""
    annotations: dict[int, int]
    """Start -> end of decorators, annotations and attributes."""
    docstrings: dict[int, int]
    """Start -> end of literals that stand as statements, to document what they are in."""
    others: set[int]
    """Starts of what stands among statements and is none: comments, docstrings and clauses."""


def has_query(language: str) -> bool:
    """Whether ``language`` (linguist's name) has a query, and a grammar to run it by."""
    return language in QUERIES and has_grammar(language)


def captures(root: Node, language: str) -> Captures:
    """What the query of ``language`` finds below ``root``. ``KeyError`` if it has none."""
    methods: dict[int, tuple[int, int]] = {}
    bodies: dict[int, Node] = {}
    statements: set[tuple[int, int]] = set()
    ranges: dict[str, dict[int, int]] = {name: {} for name in _RANGES}
    compounds: dict[str, set[tuple[int, int]]] = {kind: set() for kind in COMPOUNDS}
    for _, match in QueryCursor(_query(language)).matches(root):
        for name, nodes in match.items():
            node = nodes[0]
            start = node.start_byte
            if name == "statement":
                statements.add((start, node.end_byte))
            elif name in ranges:
                ranges[name][start] = node.end_byte
            elif name in compounds:
                compounds[name].add((start, node.end_byte))
            elif name == "body":
                bodies[start] = node
            elif name == "function":
                body = match["body"][0].start_byte
                low, high = methods.get(body, (start, node.end_byte))
                methods[body] = min(low, start), max(high, node.end_byte)
    return Captures(
        methods,
        bodies,
        statements.union(*compounds.values()),
        compounds,
        comments=ranges["comment"],
        annotations=ranges["annotation"],
        docstrings=ranges["docstring"],
        others={start for name in _OTHERS for start in ranges[name]},
    )


@cache
def _query(language: str) -> Query:
    text = (
        files(__package__)
        .joinpath("queries", f"{QUERIES[language]}.scm")
        .read_text(encoding="utf-8")
    )
    return Query(load_language(language), text)
