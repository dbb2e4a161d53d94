"""Spans: every cut can be undone, structured ones start inside a node and end at a line's end."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treespan.model.grammars import load_parser
from treespan.model.objectives import (
    ObjectiveMix,
    Span,
    fim_span,
    maskable_nodes,
    sfim_span,
)

SOURCES = {
    "Python": 'import os\n\n\ndef f(x):\n    """Größe."""\n    if x % 5 == 0:\n        return [x]\n',
    "Java": "class A {\n  int f(int x) { return x + 1; }\r\n  // ende\n}\n",
    "JavaScript": "const f = (x) => {\n  for (const y of x) { g(y, '→') }\n}",
    "C": "#include <stdio.h>\nint main(void) {\n\treturn 0;\n}\n",
    "Go": "package a\n\nfunc F(x int) int {\n\tif x > 0 {\n\t\treturn x\n\t}\n\treturn 0\n}\n",
}


def brute_force_nodes(data: bytes, language: str) -> set[tuple[int, int, str]]:
    """Candidates by plain recursion over the tree."""
    found = set()

    def visit(node, is_root: bool) -> None:  # type: ignore[no-untyped-def]
        named = [child for child in node.children if child.is_named]
        if not is_root and node.is_named and named and node.end_byte > node.start_byte:
            found.add((node.start_byte, node.end_byte, node.type))
        for child in node.children:
            visit(child, False)

    visit(load_parser(language).parse(data).root_node, True)
    return found


@pytest.mark.parametrize("language", SOURCES)
def test_nodes_equal_those_of_plain_recursion(language: str) -> None:
    data = SOURCES[language].encode()
    nodes = maskable_nodes(data, load_parser(language))
    assert set(zip(nodes.starts.tolist(), nodes.ends.tolist(), nodes.types, strict=True)) == (
        brute_force_nodes(data, language)
    )


def ends_a_line(data: bytes, end: int) -> bool:
    if end == len(data):
        return not data.endswith(b"\n")
    return data[end : end + 1] == b"\n" or data[end : end + 2] == b"\r\n"


def last_line_end(data: bytes, offset: int) -> int:
    """The end of the line in which ``offset`` lies."""
    at = data.find(b"\n", offset)
    if at < 0:
        return len(data)
    return at - 1 if at and data[at - 1 : at] == b"\r" and at - 1 >= offset else at


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(SOURCES)), st.integers(0, 2**32), st.sampled_from(["uniform", "sqrt"])
)
def test_structured_spans(language: str, seed: int, weight) -> None:  # type: ignore[no-untyped-def]
    data = SOURCES[language].encode()
    nodes = maskable_nodes(data, load_parser(language))
    span = sfim_span(data, nodes, Random(seed), weight)
    assert span is not None
    assert ends_a_line(data, span.end)
    hosts = [
        (start, end)
        for start, end, kind in zip(nodes.starts, nodes.ends, nodes.types, strict=True)
        if kind == span.node_type and start <= span.start < end
    ]
    assert any(span.end <= last_line_end(data, end) for _, end in hosts)
    joined = b"".join((data[: span.start], data[span.start : span.end], data[span.end :]))
    assert joined == data
    for part in (data[: span.start], data[span.start : span.end], data[span.end :]):
        part.decode()


@given(st.text(), st.integers(0, 2**32))
def test_character_spans_cut_between_characters(text: str, seed: int) -> None:
    data = text.encode()
    span = fim_span(data, Random(seed))
    if span is None:
        assert len(data) < 2 or len(text) < 2
        return
    assert 0 <= span.start < span.end <= len(data)
    prefix, middle, suffix = (
        data[a:b].decode()
        for a, b in ((0, span.start), (span.start, span.end), (span.end, len(data)))
    )
    assert prefix + middle + suffix == text


def test_character_spans_cover_everything() -> None:
    data = b"abcdefgh"
    spans = {(s.start, s.end) for i in range(2000) if (s := fim_span(data, Random(i)))}
    assert spans == {(a, b) for a in range(8) for b in range(a + 1, 9)}


def test_the_papers_example_is_possible() -> None:
    """The If node; the middle starts inside it and ends at the end of its first line."""
    text = 'for i in range(20):\n    if i % 5 == 0:\n        print("Hello World")\n'
    data = text.encode()
    nodes = maskable_nodes(data, load_parser("Python"))
    wanted = Span(text.index("i % 5"), text.index("\n        print"), "if_statement")
    drawn = (sfim_span(data, nodes, Random(seed)) for seed in range(20_000))
    assert wanted in drawn


def test_weighting_makes_longer_holes() -> None:
    data = SOURCES["Python"].encode() * 20
    nodes = maskable_nodes(data, load_parser("Python"))

    def median(weight) -> float:  # type: ignore[no-untyped-def]
        spans = [sfim_span(data, nodes, Random(i), weight) for i in range(400)]
        return float(np.median([s.end - s.start for s in spans if s]))

    assert median("sqrt") > median("uniform")


def test_nothing_to_mask() -> None:
    empty = maskable_nodes(b"", load_parser("Python"))
    assert sfim_span(b"", empty, Random(0)) is None
    assert fim_span(b"x", Random(0)) is None


def test_nodes_within_a_piece_are_relative_to_it() -> None:
    data = SOURCES["Python"].encode()
    nodes = maskable_nodes(data, load_parser("Python"))
    start = data.index(b"def")
    inside = nodes.within(start, len(data))
    assert "function_definition" in inside.types
    assert "import_statement" not in inside.types
    assert inside.starts.min() == 0


def test_the_mix_is_drawn_as_given() -> None:
    mix = ObjectiveMix(ntp=0.25, fim=0.25, sfim=0.5)
    drawn = [mix.draw((i + 0.5) / 1000) for i in range(1000)]
    assert {name: drawn.count(name) for name in set(drawn)} == {"ntp": 250, "fim": 250, "sfim": 500}
