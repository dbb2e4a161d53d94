"""The reference of structured spans, by cases made by hand."""

from __future__ import annotations

from random import Random

import pytest
from benchmarks.pack.reference import is_aligned_span, is_sfim_span, maskable_reference
from tests.model.sources import SOURCES

from treespan.model.grammars import load_parser
from treespan.model.span_source import Parsers, SpanSource
from treespan.model.structured_spans import aligned_span, sfim_span

CODE = "for i in x:\n    if i:\n        print('größe')\n".encode()
NODES = maskable_reference(load_parser("Python").parse(CODE).root_node)
IF = CODE.index(b"if")
LINE_ENDS = [at for at in range(len(CODE)) if CODE[at : at + 1] == b"\n"]


def test_nodes_are_those_between_root_and_leaves() -> None:
    texts = {(node, CODE[start:end].decode()) for start, end, node in NODES}
    assert ("if_statement", "if i:\n        print('größe')") in texts
    assert ("call", "print('größe')") in texts
    assert ("argument_list", "('größe')") in texts
    assert not {"module", "identifier", "string_content"} & {node for node, _ in texts}
    assert sorted(NODES, key=lambda node: (node[0], -node[1])) == NODES


def test_the_example_of_the_paper_is_a_span() -> None:
    assert is_sfim_span(CODE, NODES, IF + 3, LINE_ENDS[1])
    assert is_sfim_span(CODE, NODES, IF, LINE_ENDS[2])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (IF + 3, LINE_ENDS[1] - 1),  # ends within a line
        (IF + 3, LINE_ENDS[1] + 1),  # takes the line feed
        (IF + 3, IF + 3),  # empty
        (LINE_ENDS[1], IF + 3),  # backwards
        (LINE_ENDS[1] + 1, LINE_ENDS[1] + 4),  # blanks within a line
        (CODE.index("ö".encode()) + 1, LINE_ENDS[2]),  # within a character
        (-3, LINE_ENDS[0]),
        (IF, len(CODE) + 5),
    ],
)
def test_what_is_no_span(start: int, end: int) -> None:
    assert not is_sfim_span(CODE, NODES, start, end)


def test_a_span_ends_with_the_last_line_of_its_node_at_the_latest() -> None:
    two = b"f(a); g(b)\nh(c)\n"
    nodes = maskable_reference(load_parser("Python").parse(two).root_node)
    assert is_sfim_span(two, nodes, 1, 10)  # the line's end, behind another statement
    assert not is_sfim_span(two, nodes, 1, 15)
    assert not is_sfim_span(two, [(0, 11, "with_its_line_feed")], 1, 15)
    assert is_sfim_span(two, [(0, 12, "with_the_next")], 1, 15)


def test_line_ends_of_windows_and_none() -> None:
    windows = b"f(a)\r\nh(c)"
    nodes = [(0, 4, "call"), (6, 10, "call")]
    assert is_sfim_span(windows, nodes, 2, 4)
    assert not is_sfim_span(windows, nodes, 2, 5)
    assert is_sfim_span(windows, nodes, 7, 10)
    assert not is_sfim_span(windows, [(0, 1, "call")], 1, 4)
    assert not is_sfim_span(b"a(  \n)", [(0, 6, "call")], 2, 4)  # blanks alone


def test_aligned_spans_are_whole_nodes() -> None:
    assert is_aligned_span(NODES, IF, LINE_ENDS[2])
    assert not is_aligned_span(NODES, IF, LINE_ENDS[1])
    assert not is_aligned_span(NODES, IF + 1, LINE_ENDS[2])
    assert not is_aligned_span([], 0, 1)


def test_depth_does_not_matter() -> None:
    deep = b"x = " + b"(" * 3000 + b"1" + b")" * 3000
    nodes = maskable_reference(load_parser("Python").parse(deep).root_node)
    assert len(nodes) > 2900


@pytest.mark.parametrize("language", SOURCES)
def test_drawn_spans_are_spans(language: str) -> None:
    data = SOURCES[language].encode()
    source = SpanSource(data, language, Parsers())
    nodes = maskable_reference(load_parser(language).parse(data).root_node)
    for seed in range(100):
        span = sfim_span(source, 0, len(data), Random(seed))
        assert span is not None
        assert is_sfim_span(data, nodes, span.start, span.end)
        aligned = aligned_span(source, 0, len(data), Random(seed))
        assert aligned is not None
        assert is_aligned_span(nodes, aligned.start, aligned.end)
