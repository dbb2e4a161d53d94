"""Holes that are cut by the syntax tree. Pure functions of a text and a generator.

The paper chooses a node that is neither root nor leaf, and its published example starts *inside* the
node and ends at the end of a line, so that a hole begins where a person might be typing and ends
where a thought does. Uniform places within the node and uniform line ends are ours: it names none.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np

from treespan.model.nodes import NodeDraw, Nodes, NodeWeight
from treespan.model.span_source import Span, SpanSource
from treespan.model.spans import ATTEMPTS


def sfim_span(
    source: SpanSource,
    low: int,
    high: int,
    rng: Random,
    weight: NodeWeight = "sqrt",
    types: Mapping[str, float] | None = None,
) -> Span | None:
    """From a uniform character inside a node to a uniform line end, at the latest that of the
    node's last line. The node lies within [low, high); None if no node gives more than blanks."""
    draw = NodeDraw.of(source.nodes.within(low, high), weight, types or {})
    if draw is None:
        return None
    ends = source.line_ends
    for _ in range(ATTEMPTS):
        node_start, node_end, node_type = draw.node(rng)
        start = source.character_start(rng.randrange(node_start, node_end))
        first = np.searchsorted(ends, start, side="right")
        # A node may hold the line feed after its last line, which the next line is not part of.
        text_end = node_start + len(source.data[node_start:node_end].rstrip(b"\r\n"))
        last = np.searchsorted(ends, text_end, side="left")
        beyond = np.searchsorted(ends, high, side="right")
        choices = int(min(last + 1, beyond) - first)
        if choices > 0:
            end = int(ends[first + rng.randrange(choices)])
            if not source.is_blank(start, end):
                return Span(start, end, node_type)
    return None


def aligned_span(
    source: SpanSource,
    low: int,
    high: int,
    rng: Random,
    weight: NodeWeight = "sqrt",
    types: Mapping[str, float] | None = None,
) -> Span | None:
    """A whole node within [low, high); None if there is none."""
    draw = NodeDraw.of(source.nodes.within(low, high), weight, types or {})
    if draw is None:
        return None
    for _ in range(ATTEMPTS):
        span = Span(*draw.node(rng))
        if not source.is_blank(span.start, span.end):
            return span
    return None


def kind_span(
    source: SpanSource, low: int, high: int, rng: Random, weights: Mapping[str, float]
) -> Span | None:
    """A span of one of the aiXcoder kinds: a kind by its weight, of those that there are within
    [low, high), then a uniform span of it."""
    found: dict[str, Nodes] = {}
    for kind, candidates in source.kinds.items():
        inside = candidates.within(low, high)
        if inside.types and weights.get(kind):
            found[kind] = inside
    if not found:
        return None
    kind = rng.choices(list(found), [weights[kind] for kind in found])[0]
    drawn = rng.randrange(len(found[kind].types))
    return Span(int(found[kind].starts[drawn]), int(found[kind].ends[drawn]), kind=kind)
