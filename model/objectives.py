"""Training objectives: which span of a text becomes the hole.

``ntp`` has no hole. ``fim`` cuts at two uniform characters (Bavarian et al. 2022). ``sfim`` is the
paper's structured variant: choose a syntax node that is neither root nor leaf, start at a uniform
character inside it, end at the end of a line no later than the node's last one; so the hole starts
where a person might be typing and ends where a thought does. Everything works on UTF-8 bytes; cuts
fall on characters, so the three parts joined are the text, byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from tree_sitter import Parser

from treespan.platform.config import Config

Objective = Literal["ntp", "fim", "sfim"]
_LINE_END = re.compile(rb"\r?\n")
_ATTEMPTS = 8


class ObjectiveMix(Config):
    """Shares of the objectives among the pieces of files that can be masked."""

    ntp: float = Field(default=0.3, ge=0, le=1)
    """Next-token prediction. The paper's README says 30 %."""
    fim: float = Field(default=0.2, ge=0, le=1)
    """Fill-in-the-middle between random characters. Ours: without it a model learns badly to end
    after a hole in the middle of a line."""
    sfim: float = Field(default=0.5, ge=0, le=1)
    """Structured fill-in-the-middle."""
    spm: float = Field(default=0.5, ge=0, le=1)
    """Share of suffix-prefix-middle order among the masked; the rest is prefix-suffix-middle."""
    node_weight: Literal["uniform", "sqrt"] = "sqrt"
    """How ``sfim`` draws its node: uniformly, or by the square root of its length. Ours: most nodes
    are tiny expressions, and a uniform draw gives a median hole of some 16 characters."""

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> ObjectiveMix:
        total = self.ntp + self.fim + self.sfim
        if abs(total - 1) > 1e-6:
            raise ValueError(f"ntp + fim + sfim must be 1, not {total:g}")
        return self

    def draw(self, u: float) -> Objective:
        """The objective for ``u``, uniform in [0, 1)."""
        if u < self.ntp:
            return "ntp"
        return "fim" if u < self.ntp + self.fim else "sfim"


@dataclass(frozen=True)
class Nodes:
    """The maskable nodes of a text: named, not the root, with a named child. Arrays of [nodes]."""

    starts: NDArray[np.int64]  # byte offsets
    ends: NDArray[np.int64]
    types: list[str]

    @staticmethod
    def none() -> Nodes:
        """No node at all."""
        return Nodes(np.zeros(0, np.int64), np.zeros(0, np.int64), [])

    def within(self, start: int, end: int) -> Nodes:
        """The nodes that lie in bytes [start, end), their offsets relative to ``start``."""
        inside = np.flatnonzero((self.starts >= start) & (self.ends <= end))
        return Nodes(
            self.starts[inside] - start, self.ends[inside] - start, [self.types[i] for i in inside]
        )


@dataclass(frozen=True)
class Span:
    """A hole: bytes [start, end) of a text, and the type of the node it came from, if any."""

    start: int
    end: int
    node_type: str = ""


def maskable_nodes(data: bytes, parser: Parser) -> Nodes:
    """All candidates of ``sfim`` in ``data``, in document order."""
    starts: list[int] = []
    ends: list[int] = []
    types: list[str] = []
    cursor = parser.parse(data).walk()
    inside = cursor.goto_first_child()  # the root itself is no candidate
    while inside:
        node = cursor.node
        assert node is not None
        if node.is_named and node.named_child_count and node.end_byte > node.start_byte:
            starts.append(node.start_byte)
            ends.append(node.end_byte)
            types.append(node.type)
        if node.child_count and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent() or cursor.depth == 0:
                inside = False
                break
    return Nodes(np.array(starts, np.int64), np.array(ends, np.int64), types)


def fim_span(data: bytes, rng: Random) -> Span | None:
    """A hole between two uniform characters; None if ``data`` has under two characters."""
    if len(data) < 2:
        return None
    for _ in range(_ATTEMPTS):
        start, end = sorted(character_start(data, rng.randrange(len(data) + 1)) for _ in range(2))
        if start < end:
            return Span(start, end)
    return None


def sfim_span(
    data: bytes,
    nodes: Nodes,
    rng: Random,
    node_weight: Literal["uniform", "sqrt"] = "sqrt",
    *,
    ends_a_line: bool = True,
) -> Span | None:
    """A structured hole; None if no node gives one that is more than blanks.

    ``ends_a_line`` says whether a line ends where ``data`` ends without a newline: so it does at
    the end of a file, but not where a line too long for a row was cut.
    """
    if not len(nodes.starts):
        return None
    lengths = (nodes.ends - nodes.starts).astype(np.float64)
    weights = np.sqrt(lengths) if node_weight == "sqrt" else np.ones_like(lengths)
    cumulative = np.cumsum(weights)
    for _ in range(_ATTEMPTS):
        drawn = rng.random() * cumulative[-1]
        index = min(int(np.searchsorted(cumulative, drawn, side="right")), len(lengths) - 1)
        node_start, node_end = int(nodes.starts[index]), int(nodes.ends[index])
        start = character_start(data, rng.randrange(node_start, node_end))
        ends = _line_ends(data, start, node_end, ends_a_line)
        end = ends[rng.randrange(len(ends))] if ends else start
        if data[start:end].strip():
            return Span(start, end, nodes.types[index])
    return None


def _line_ends(data: bytes, start: int, node_end: int, ends_a_line: bool) -> list[int]:
    """Ends of lines after ``start``, up to that of the line in which the node ends."""
    ends: list[int] = []
    for match in _LINE_END.finditer(data, start):
        if match.start() > start:
            ends.append(match.start())
        if match.start() >= node_end:
            return ends
    if ends_a_line and len(data) > start and not data.endswith(b"\n"):
        ends.append(len(data))
    return ends


def character_start(data: bytes, offset: int) -> int:
    """``offset`` moved back to the first byte of its UTF-8 character."""
    while 0 < offset < len(data) and data[offset] & 0xC0 == 0x80:
        offset -= 1
    return offset
