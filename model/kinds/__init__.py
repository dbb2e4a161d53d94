"""Spans of the thirteen kinds of the aiXcoder evaluation, found by syntax.

The evaluation names its kinds and no more: neither its data nor the code that cut it is published.
Where a kind begins and ends is therefore ours, by one rule: a hole is what a person would type next
in an editor that has put the indentation and the closing brace there already.
"""

from __future__ import annotations

from tree_sitter import Node

from treespan.model.kinds.captures import captures, has_query
from treespan.model.kinds.lines import Lines
from treespan.model.kinds.methods import body_parts, find_methods, with_comment
from treespan.model.kinds.statements import compound_spans, line_spans

KINDS: tuple[str, ...] = (
    "method-signature",
    "method-body",
    "single-line",
    "method-with-comment",
    "empty",
    "body-top",
    "body-mid",
    "body-bottom",
    "if",
    "for",
    "while",
    "try",
    "switch",
)
"""The kinds, in the order in which the evaluation lists them."""


def has_kinds(language: str) -> bool:
    """Whether spans of kinds can be found in ``language`` (linguist's name)."""
    return has_query(language)


def kind_spans(root: Node, data: bytes, language: str) -> dict[str, list[tuple[int, int]]]:
    """All spans [start, end) of each kind, in bytes and in document order; kinds without any are
    left out. ``root`` is the tree of ``data``. ``KeyError`` if ``language`` has no kinds.
    """
    found = captures(root, language)
    lines = Lines(data, found)
    spans: dict[str, set[tuple[int, int]]] = {kind: set() for kind in KINDS}
    for method in find_methods(found, lines):
        spans["method-body"].add(method.body)
        if method.signature is not None:
            spans["method-signature"].add(method.signature)
            spans["method-with-comment"] |= with_comment(method, found, lines)
        for kind, part in body_parts(method, found, lines).items():
            spans[kind].add(part)
    for kind, nodes in found.compounds.items():
        spans[kind] |= compound_spans(nodes, lines)
    spans["single-line"], spans["empty"] = line_spans(found, lines)
    return {kind: sorted(spans[kind]) for kind in KINDS if spans[kind]}
