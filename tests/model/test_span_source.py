"""What spans are cut by: line ends, nodes, and why there are none."""

from __future__ import annotations

from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.model.sources import SOURCES
from tree_sitter import Node

from treespan.model.grammars import load_parser
from treespan.model.nodes import NodeDraw, Nodes, maskable_nodes
from treespan.model.span_source import Parsers, SpanSource


def source(text: str, language: str = "Python", limit: int = 1_000_000) -> SpanSource:
    return SpanSource(text.encode(), language, Parsers(), limit)


def by_recursion(root: Node) -> list[tuple[int, int, str]]:
    """Candidates by plain recursion over the tree."""
    found = []
    for child in root.children:
        named = [grandchild for grandchild in child.children if grandchild.is_named]
        if child.is_named and named and child.end_byte > child.start_byte and not child.is_error:
            found.append((child.start_byte, child.end_byte, child.type))
        found += by_recursion(child)
    return found


def as_list(nodes: Nodes) -> list[tuple[int, int, str]]:
    return list(zip(nodes.starts.tolist(), nodes.ends.tolist(), nodes.types, strict=True))


@pytest.mark.parametrize("language", SOURCES)
def test_nodes_equal_those_of_plain_recursion(language: str) -> None:
    root = load_parser(language).parse(SOURCES[language].encode()).root_node
    assert as_list(maskable_nodes(root)) == by_recursion(root)


@given(st.text("(){}[]:=+,x1 \n\tdefif\"'"), st.sampled_from(sorted(SOURCES)))
def test_broken_code_has_the_nodes_that_are_whole(text: str, language: str) -> None:
    root = load_parser(language).parse(text.encode()).root_node
    assert as_list(maskable_nodes(root)) == by_recursion(root)


@given(st.text("ab\n\ré"))
def test_lines_end_before_their_line_feeds(text: str) -> None:
    data = text.encode()
    expected, at = [], 0
    for line in data.split(b"\n"):
        end = at + len(line)
        if end < len(data):
            expected.append(end - line.endswith(b"\r"))
        elif line:
            expected.append(end)
        at = end + 1
    assert source(text).line_ends.tolist() == expected


def test_nodes_within() -> None:
    text = SOURCES["Python"]
    nodes = source(text).nodes
    start = text.index("def")
    inside = nodes.within(start, len(text.encode()))
    assert "function_definition" in inside.types
    assert "import_statement" not in inside.types
    everything = as_list(nodes)
    for low in range(0, 60, 7):
        for high in range(low, 75, 5):
            wanted = [node for node in everything if low <= node[0] and node[1] <= high]
            assert as_list(nodes.within(low, high)) == wanted


def test_a_draw_is_by_weight() -> None:
    nodes = Nodes(np.array([0, 0, 9]), np.array([16, 4, 10]), ["a", "b", "c"])
    rng = Random(0)

    def shares(weight: str, **types: float) -> dict[str, float]:
        draw = NodeDraw.of(nodes, weight, types)  # type: ignore[arg-type]
        assert draw is not None
        counts = Counter(draw.node(rng)[2] for _ in range(6000))
        return {name: count / 6000 for name, count in counts.items()}

    near = pytest.approx
    assert shares("uniform") == near({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, abs=0.03)
    assert shares("sqrt") == near({"a": 4 / 7, "b": 2 / 7, "c": 1 / 7}, abs=0.03)
    assert shares("length") == near({"a": 16 / 21, "b": 4 / 21, "c": 1 / 21}, abs=0.03)
    assert shares("uniform", a=0.0, b=3.0) == near({"b": 3 / 4, "c": 1 / 4}, abs=0.03)
    assert NodeDraw.of(nodes, "sqrt", {"a": 0, "b": 0, "c": 0}) is None
    assert NodeDraw.of(Nodes.none(), "sqrt", {}) is None


def test_why_there_is_no_hole() -> None:
    assert source("x = 1\n", "No Such Language").lack("sfim") == "no-grammar"
    assert source("x = 1\n", limit=3).lack("sfim") == "too-large"
    assert source("x = 1\n", limit=3).root is None
    assert source("((((").lack("sfim") == "unparsable"
    assert source("x").lack("sfim") == "no-node"
    assert source("x").lack("sfim-kind") == "no-kind"


def test_characters_are_never_cut() -> None:
    data = "aé中😀z".encode()
    starts = [source("aé中😀z").character_start(offset) for offset in range(len(data) + 1)]
    assert starts == [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11]
