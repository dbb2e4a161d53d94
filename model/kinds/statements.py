"""Statements that have lines of their own."""

from __future__ import annotations

from collections.abc import Iterable

from treespan.model.kinds.captures import Captures
from treespan.model.kinds.lines import Lines


def compound_spans(nodes: Iterable[tuple[int, int]], lines: Lines) -> set[tuple[int, int]]:
    """Those of the nodes that take whole lines. An ``else if`` does not: it belongs to its ``if``,
    and stands behind something on its line; so does the value of an expression."""
    spans = set()
    for node in nodes:
        start, end = lines.strip(*node)
        close = lines.line_close(end)
        if close is not None and start < close and lines.begins_line(start):
            spans.add((start, close))
    return spans


def line_spans(found: Captures, lines: Lines) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """The lines that are one whole statement each, and the empty spans behind statements of any
    length that end their lines."""
    single, ends = set(), set()
    data, others = lines.data, found.others
    for node in found.statements:
        if node[0] in others:
            continue
        start, end = lines.strip(*node)
        close = lines.line_close(end)
        if close is not None and start < close:
            ends.add(close)
            if data.find(b"\n", start, close) < 0 and lines.begins_line(start):
                single.add((start, close))
    return single, {(end, end) for end in ends}
