"""Methods and their parts: the signature, the body, and the runs of statements in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from treespan.model.kinds.captures import Captures
from treespan.model.kinds.lines import Lines

MIN_STATEMENTS = 3
"""Statements that a body must have to have a top, a middle and a bottom (ours: one for each)."""

_DELIMITERS = {"{": b"}", "do": b"end"}
"""What opens a body -> what closes it; both are left out of the hole."""

_VALUES = ("tuple",)
"""Types of bodies whose delimiters are a part of the value."""

_LISTS = ("statement_list", "statements")
"""Types of nodes that some grammars put between a body and its statements."""


@dataclass(frozen=True)
class Method:
    """A function or method with a body. Ranges are bytes [start, end)."""

    node: Node
    """That of the body."""
    body: tuple[int, int]
    """What stands between the braces or ``do`` and ``end``, or the whole of a body without, behind a
    docstring; blanks at its ends removed."""
    definition: tuple[int, int] | None = None
    """All of it, with decorators; None for a closure."""
    signature: tuple[int, int] | None = None
    """From behind its annotations to where the body begins, a colon or ``=`` included."""


def find_methods(found: Captures, lines: Lines) -> Iterator[Method]:
    """The methods and closures whose bodies have some text."""
    for at, node in found.bodies.items():
        definition = found.methods.get(at)
        start, end = at, node.end_byte
        opening = _opening(node)
        if opening:
            inner = start + len(opening), end - len(_DELIMITERS[opening])
            if inner[0] > inner[1] or lines.data[inner[1] : end] != _DELIMITERS[opening]:
                continue  # the closing one is missing
            start, end = inner
        signature = None
        if definition is not None:
            first = lines.without_annotations(*lines.strip(*definition))
            last = lines.without_comments(first, at)
            if first < last:
                signature = first, last
                if not opening:
                    start = _behind_signature(last, start, lines)
        documented = found.docstrings.get(at)
        start, end = lines.strip(start if documented is None else documented, end)
        if not opening:
            end = lines.line_close(end) or end
        if start < end:
            yield Method(node, (start, end), definition, signature)


def with_comment(method: Method, found: Captures, lines: Lines) -> set[tuple[int, int]]:
    """The method with the comment above it; or as it is, if a docstring documents it. One span, or
    none where nothing documents it."""
    assert method.definition is not None
    start, end = lines.strip(*method.definition)
    first, commented = lines.leading(start)
    if not commented and method.node.start_byte not in found.docstrings:
        return set()
    return {(first if commented else start, lines.line_close(end) or end)}


def body_parts(method: Method, found: Captures, lines: Lines) -> dict[str, tuple[int, int]]:
    """``body-top``, ``body-mid`` and ``body-bottom``: the statements of the body in three runs of
    whole lines, as equal as can be, the middle taking what is left over."""
    node = method.node
    if node.has_error:
        return {}
    children = node.named_children
    for child in children:
        if child.type in _LISTS:
            children = child.named_children
            break
    statements = [
        lines.strip(child.start_byte, child.end_byte)
        for child in children
        if child.start_byte not in found.others
    ]
    count = len(statements)
    if count < MIN_STATEMENTS:
        return {}
    third = count // 3
    parts = {"body-top": (0, third), "body-mid": (third, count - third)}
    parts["body-bottom"] = count - third, count
    spans = {}
    for kind, (first, last) in parts.items():
        start = statements[first][0]
        end = lines.line_close(statements[last - 1][1])
        if end is not None and lines.begins_line(start):
            spans[kind] = start, end
    return spans


def _opening(body: Node) -> str:
    """The delimiter that ``body`` begins with; empty if it has none."""
    first = body.child(0) if body.child_count and body.type not in _VALUES else None
    return first.type if first is not None and first.type in _DELIMITERS else ""


def _behind_signature(signature_end: int, body_start: int, lines: Lines) -> int:
    """Comments between a signature and its body belong to the body, but for those on the line of
    the signature."""
    close = lines.line_close(signature_end)
    return body_start if close is None else lines.strip_start(close, body_start)
