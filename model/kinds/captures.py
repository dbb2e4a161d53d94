"""What the query of a language finds in a tree, as byte ranges."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from tree_sitter import Node, Query, QueryCursor

from treespan.model.grammars import has_grammar, load_language

QUERIES = {
    "C": "c",
    "C#": "csharp",
    "C++": "cpp",
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


@dataclass(frozen=True)
class Captures:
    """Bytes [start, end) of what was found, by what it is. Blanks at ends are left as they are."""

    methods: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Start of a body -> the widest definition around it, with decorators and ``export``."""
    bodies: dict[int, Node] = field(default_factory=dict)
    """Start of a body -> its node; those of closures too."""
    statements: set[tuple[int, int]] = field(default_factory=set)
    compounds: dict[str, set[tuple[int, int]]] = field(
        default_factory=lambda: {kind: set() for kind in COMPOUNDS}
    )
    comments: dict[int, int] = field(default_factory=dict)
    """Start -> end."""
    annotations: dict[int, int] = field(default_factory=dict)
    """Start -> end of decorators, annotations and attributes."""
    docstrings: dict[int, int] = field(default_factory=dict)
    """Start -> end of literals that stand as statements, to document what they are in."""
    clauses: set[int] = field(default_factory=set)
    """Starts of what stands among statements and is none."""


def has_query(language: str) -> bool:
    """Whether ``language`` (linguist's name) has a query, and a grammar to run it by."""
    return language in QUERIES and has_grammar(language)


def captures(root: Node, language: str) -> Captures:
    """What the query of ``language`` finds below ``root``. ``KeyError`` if it has none."""
    found = Captures()
    for _, match in QueryCursor(_query(language)).matches(root):
        body = None
        if "body" in match:
            body = match["body"][0]
            found.bodies[body.start_byte] = body
        for name, (node, *_) in match.items():
            start, end = node.start_byte, node.end_byte
            if name == "statement":
                found.statements.add((start, end))
            elif name == "comment":
                found.comments[start] = end
            elif name in found.compounds:
                found.compounds[name].add((start, end))
            elif name == "function" and body is not None:
                low, high = found.methods.get(body.start_byte, (start, end))
                found.methods[body.start_byte] = min(low, start), max(high, end)
            elif name == "annotation":
                found.annotations[start] = end
            elif name == "docstring":
                found.docstrings[start] = end
            elif name == "clause":
                found.clauses.add(start)
    return found


@cache
def _query(language: str) -> Query:
    text = files(__package__).joinpath("queries", f"{QUERIES[language]}.scm").read_text()
    return Query(load_language(language), text)
