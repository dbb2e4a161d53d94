"""A text that holes are cut into, with what the cuts are made by, computed once and when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tree_sitter import Node, Parser, Tree

from treespan.model.grammars import has_grammar, load_parser
from treespan.model.kinds import has_kinds, kind_spans
from treespan.model.nodes import Nodes, maskable_nodes
from treespan.model.syntax_errors import error_bytes

MAX_ERROR_SHARE = 0.5
"""Share of a text inside errors above which its tree tells nothing of it (ours). Curation drops far
better files; but a recipe may keep them."""


@dataclass(frozen=True)
class Span:
    """A hole: bytes [start, end) of a text, and the node or kind that it came from, if any."""

    start: int
    end: int
    node_type: str = ""
    kind: str = ""

    @property
    def length(self) -> int:
        """Bytes of the hole."""
        return self.end - self.start


class Parsers:
    """The parsers of one worker, each made when its language first comes."""

    def __init__(self) -> None:
        self._parsers: dict[str, Parser] = {}

    def parse(self, language: str, data: bytes) -> Tree:
        """The syntax tree of ``data``. ``KeyError`` if ``language`` has no grammar."""
        if language not in self._parsers:
            self._parsers[language] = load_parser(language)
        return self._parsers[language].parse(data)


class SpanSource:
    """A text in UTF-8, its line ends, and its syntax nodes where it has a grammar."""

    def __init__(
        self, data: bytes, language: str, parsers: Parsers, max_parse_bytes: int = 1_000_000
    ) -> None:
        """Texts over ``max_parse_bytes`` are not parsed: curation has not tried how long it takes."""
        self.data = data
        self._language = language
        self._parsers = parsers
        self._max_parse_bytes = max_parse_bytes

    @cached_property
    def line_ends(self) -> NDArray[np.int64]:
        """Where lines end, ascending: before each line feed (and the carriage return that belongs to
        it), and at the end of a text whose last line has none."""
        feeds = np.flatnonzero(np.frombuffer(self.data, np.uint8) == 10)
        returns = np.frombuffer(self.data, np.uint8)[feeds - 1] == 13
        ends = feeds - (returns & (feeds > 0))
        if self.data and not self.data.endswith(b"\n"):
            ends = np.append(ends, len(self.data))
        return np.asarray(ends, np.int64)

    @cached_property
    def root(self) -> Node | None:
        """The root of the syntax tree; None if there is none to cut by, and ``lack`` says why."""
        if not has_grammar(self._language) or len(self.data) > self._max_parse_bytes:
            return None
        root = self._parsers.parse(self._language, self.data).root_node
        return root if error_bytes(root) <= MAX_ERROR_SHARE * len(self.data) else None

    @cached_property
    def nodes(self) -> Nodes:
        """The nodes that a structured hole may be cut by."""
        return Nodes.none() if self.root is None else maskable_nodes(self.root)

    @cached_property
    def kinds(self) -> dict[str, Nodes]:
        """The spans of each kind of the aiXcoder evaluation that the text has."""
        if self.root is None or not has_kinds(self._language):
            return {}
        found = kind_spans(self.root, self.data, self._language)
        return {kind: Nodes.of(kind, spans) for kind, spans in found.items() if spans}

    def lack(self, objective: str) -> str:
        """Why there was no hole of ``objective``: ``no-grammar``, ``too-large``, ``unparsable``, or
        ``no-node`` (``no-kind``) where the tree has none that would do."""
        if objective == "fim-line":
            return "no-line"
        if not has_grammar(self._language):
            return "no-grammar"
        if len(self.data) > self._max_parse_bytes:
            return "too-large"
        if self.root is None:
            return "unparsable"
        return "no-kind" if objective == "sfim-kind" else "no-node"

    def character_start(self, offset: int) -> int:
        """``offset`` moved back to the first byte of its character."""
        return character_start(self.data, offset)

    def is_blank(self, start: int, end: int) -> bool:
        """Whether bytes [start, end) are white space alone, or none."""
        return not self.data[start:end].strip()


def character_start(data: bytes, offset: int) -> int:
    """``offset`` into UTF-8 ``data``, moved back to the first byte of its character."""
    while 0 < offset < len(data) and data[offset] & 0xC0 == 0x80:
        offset -= 1
    return offset
