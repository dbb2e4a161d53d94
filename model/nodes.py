"""The syntax nodes that a structured hole may be cut by, and how one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tree_sitter import Node

NodeWeight = Literal["uniform", "log", "sqrt", "length"]


@dataclass(frozen=True)
class Nodes:
    """Nodes in document order, parents before children. Arrays of [nodes]."""

    starts: NDArray[np.int64]  # byte offsets, ascending
    ends: NDArray[np.int64]
    types: Sequence[str]

    @staticmethod
    def none() -> Nodes:
        """No node at all."""
        return Nodes(np.zeros(0, np.int64), np.zeros(0, np.int64), [])

    @staticmethod
    def of(name: str, spans: Sequence[tuple[int, int]]) -> Nodes:
        """Spans of one type, in any order."""
        ordered = np.array(sorted(spans), np.int64).reshape(-1, 2)
        return Nodes(ordered[:, 0], ordered[:, 1], [name] * len(ordered))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each node."""
        return self.ends - self.starts

    def within(self, low: int, high: int) -> Nodes:
        """The nodes that lie in bytes [low, high)."""
        first, last = np.searchsorted(self.starts, (low, high), side="left")
        inside = first + np.flatnonzero(self.ends[first:last] <= high)
        if len(inside) == len(self.types):
            return self
        return Nodes(self.starts[inside], self.ends[inside], [self.types[i] for i in inside])


@dataclass(frozen=True)
class NodeDraw:
    """A weighted draw among nodes."""

    nodes: Nodes
    cumulative: NDArray[np.float64]  # [nodes]; the last is above 0

    @staticmethod
    def of(nodes: Nodes, weight: NodeWeight, types: Mapping[str, float]) -> NodeDraw | None:
        """The draw; None where no node has a weight above 0."""
        if not len(nodes.types):
            return None
        weights = _WEIGHTS[weight](nodes.lengths.astype(np.float64))
        if types:
            weights = weights * [types.get(name, 1.0) for name in nodes.types]
        cumulative = np.cumsum(weights)
        return NodeDraw(nodes, cumulative) if cumulative[-1] > 0 else None

    def node(self, rng: Random) -> tuple[int, int, str]:
        """Start, end and type of the node that is drawn."""
        drawn = rng.random() * self.cumulative[-1]
        index = int(np.searchsorted(self.cumulative, drawn, side="right"))
        index = min(index, len(self.cumulative) - 1)  # rounding may reach the very end
        return int(self.nodes.starts[index]), int(self.nodes.ends[index]), self.nodes.types[index]


_WEIGHTS: dict[NodeWeight, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "uniform": np.ones_like,
    "log": lambda lengths: np.log2(1 + lengths),
    "sqrt": np.sqrt,
    "length": lambda lengths: lengths,
}


def maskable_nodes(root: Node) -> Nodes:
    """All named nodes below ``root`` with a named child and some text, but for those of errors."""
    starts: list[int] = []
    ends: list[int] = []
    types: list[str] = []
    cursor = root.walk()
    inside = cursor.goto_first_child()
    while inside:
        node = cursor.node
        assert node is not None
        if node.named_child_count and node.is_named and not node.is_error:
            start, end = node.start_byte, node.end_byte
            if end > start:
                starts.append(start)
                ends.append(end)
                types.append(node.type)
        if node.child_count and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent() or cursor.depth == 0:
                inside = False
                break
    return Nodes(np.array(starts, np.int64), np.array(ends, np.int64), types)
