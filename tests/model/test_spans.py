"""Holes: every cut can be undone, and each objective's holes have what its name promises."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.model.sources import SOURCES

from treespan.model.kinds import KINDS
from treespan.model.objectives import OBJECTIVES, ObjectiveMix
from treespan.model.span_source import Parsers, Span, SpanSource
from treespan.model.spans import fim_span, line_end_span, line_span, moved_span
from treespan.model.structured_spans import aligned_span, sfim_span

WHOLE = {language: SpanSource(t.encode(), language, Parsers()) for language, t in SOURCES.items()}
MIX = ObjectiveMix()
SEEDS = st.integers(0, 2**32)
MASKING = [name for name in OBJECTIVES if name not in ("ntp", "sfim-kind")]


def line_end_after(data: bytes, offset: int) -> int:
    """The end of the line in which ``offset`` lies."""
    at = data.find(b"\n", offset)
    if at < 0:
        return len(data)
    return at - 1 if at > offset and data[at - 1 : at] == b"\r" else at


def ends_a_line(data: bytes, end: int) -> bool:
    if end == len(data):
        return not data.endswith(b"\n")
    return data[end : end + 1] == b"\n" or data[end : end + 2] == b"\r\n"


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(SOURCES)),
    st.sampled_from(MASKING),
    SEEDS,
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_every_hole_can_be_filled_again(
    language: str, objective: str, seed: int, skip: int, leave: int
) -> None:
    source = WHOLE[language]
    data = source.data
    low = source.character_start(skip)
    high = max(low, source.character_start(len(data) - leave))
    span = MIX.span(objective, source, low, high, Random(seed))  # type: ignore[arg-type]
    if span is None:
        return
    assert low <= span.start < span.end <= high
    parts = data[: span.start], data[span.start : span.end], data[span.end :]
    assert "".join(part.decode() for part in parts).encode() == data
    if objective in ("sfim", "fim-line", "fim-lineend"):
        assert ends_a_line(data, span.end)
        assert parts[1].strip()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SOURCES)), SEEDS, st.sampled_from(["uniform", "log", "sqrt"]))
def test_structured_holes(language: str, seed: int, weight) -> None:  # type: ignore[no-untyped-def]
    source = WHOLE[language]
    data, nodes = source.data, source.nodes
    span = sfim_span(source, 0, len(data), Random(seed), weight)
    assert span is not None
    hosts = [
        int(end)
        for start, end, kind in zip(nodes.starts, nodes.ends, nodes.types, strict=True)
        if kind == span.node_type and start <= span.start < end
    ]
    assert any(span.end <= line_end_after(data, max(end - 1, span.start)) for end in hosts)


@given(st.sampled_from(sorted(SOURCES)), SEEDS)
def test_aligned_holes_are_nodes(language: str, seed: int) -> None:
    source = WHOLE[language]
    span = aligned_span(source, 0, len(source.data), Random(seed))
    nodes = source.nodes
    assert span is not None
    assert (span.start, span.end, span.node_type) in set(
        zip(nodes.starts.tolist(), nodes.ends.tolist(), nodes.types, strict=True)
    )


@given(st.sampled_from(sorted(SOURCES)), SEEDS)
def test_whole_lines(language: str, seed: int) -> None:
    source = WHOLE[language]
    span = line_span(source, 0, len(source.data), Random(seed))
    assert span is not None
    assert span.start == 0 or source.data[span.start - 1 : span.start] == b"\n"


def test_a_node_with_its_line_feed_ends_with_its_own_line() -> None:
    """The grammar of C gives an include the line feed after it; the next line is another's."""
    source = WHOLE["C"]
    include = source.data.index(b"\n")
    ends = {
        span.end
        for seed in range(300)
        if (span := sfim_span(source, 0, include + 1, Random(seed))) is not None
    }
    assert ends == {include}


def test_controls_have_the_lengths_of_structured_holes() -> None:
    source = SpanSource((SOURCES["Python"] * 20).encode(), "Python", Parsers())
    whole = (source, 0, len(source.data))

    def lengths(objective: str) -> np.ndarray:  # type: ignore[type-arg]
        spans = [MIX.span(objective, *whole, Random(seed)) for seed in range(1500)]  # type: ignore[arg-type]
        return np.array([span.length for span in spans if span])

    structured = np.percentile(lengths("sfim"), (25, 50, 75))
    assert np.percentile(lengths("fim-len"), (25, 50, 75)) == pytest.approx(structured, abs=3)
    assert np.percentile(lengths("fim-lineend"), (25, 50, 75)) == pytest.approx(structured, abs=14)
    assert np.median(lengths("fim")) > 3 * structured[1]


def test_a_moved_hole_lies_anywhere() -> None:
    source = SpanSource(b"abcdefgh", "Text", Parsers())
    spans = {moved_span(source, 1, 7, Random(seed), 4) for seed in range(200)}
    assert spans == {Span(1, 5), Span(2, 6), Span(3, 7)}
    assert moved_span(source, 2, 4, Random(0), 90) == Span(2, 4)
    assert moved_span(source, 3, 3, Random(0), 1) is None


def test_a_hole_moved_to_a_line_end() -> None:
    source = SpanSource(b"aaaa\nbbbb\ncccc\n", "Text", Parsers())
    spans = {line_end_span(source, 0, 15, Random(seed), 4) for seed in range(300)}
    assert {span.end for span in spans if span} == {4, 9, 14}
    assert line_end_span(source, 0, 3, Random(0), 2) is None


@given(st.text(), SEEDS)
def test_character_holes_cut_between_characters(text: str, seed: int) -> None:
    data = text.encode()
    source = SpanSource(data, "Text", Parsers())
    span = fim_span(source, 0, len(data), Random(seed))
    if span is None:
        assert len(text) < 2
        return
    cuts = ((0, span.start), (span.start, span.end), (span.end, len(data)))
    assert "".join(data[a:b].decode() for a, b in cuts) == text


def test_character_holes_cover_everything() -> None:
    source = SpanSource(b"abcdefgh", "Text", Parsers())
    spans = {(s.start, s.end) for i in range(2000) if (s := fim_span(source, 0, 8, Random(i)))}
    assert spans == {(a, b) for a in range(8) for b in range(a + 1, 9)}


def test_the_papers_example_is_possible() -> None:
    """The If node; the middle starts inside it and ends at the end of its first line."""
    text = 'for i in range(20):\n    if i % 5 == 0:\n        print("Hello World")\n'
    source = SpanSource(text.encode(), "Python", Parsers())
    wanted = Span(text.index("i % 5"), text.index("\n        print"), "if_statement")
    assert wanted in (sfim_span(source, 0, len(text), Random(seed)) for seed in range(20_000))


def test_weighting_makes_longer_holes() -> None:
    source = SpanSource((SOURCES["Python"] * 20).encode(), "Python", Parsers())

    def median(weight) -> float:  # type: ignore[no-untyped-def]
        drawn = [sfim_span(source, 0, len(source.data), Random(i), weight) for i in range(400)]
        return float(np.median([span.length for span in drawn if span]))

    assert median("length") > median("sqrt") > median("uniform")


def test_factors_on_node_types() -> None:
    source = WHOLE["Python"]
    only = dict.fromkeys(source.nodes.types, 0.0) | {"return_statement": 1.0}
    spans = [sfim_span(source, 0, len(source.data), Random(i), "sqrt", only) for i in range(50)]
    assert {span.node_type for span in spans if span} == {"return_statement"}


def test_nothing_to_mask() -> None:
    source = SpanSource(b"", "Python", Parsers())
    assert all(MIX.span(objective, source, 0, 0, Random(0)) is None for objective in OBJECTIVES)


class TestMix:
    def test_is_drawn_as_given(self) -> None:
        mix = ObjectiveMix(ntp=0.25, fim=0.25, sfim=0.25, fim_lineend=0.25)
        drawn = [mix.draw((i + 0.5) / 1000) for i in range(1000)]
        wanted = dict.fromkeys(("ntp", "fim", "sfim", "fim-lineend"), 250)
        assert {name: drawn.count(name) for name in set(drawn)} == wanted
        assert mix.draw(1 - 2**-53) == "fim-lineend"

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"sfim": 0.7}, "ntp \\+ fim \\+ sfim is 1.2"),
            ({"kinds": {"loop": 1}}, "no kind 'loop'"),
            ({"node_types": {"call": -1}}, "weight of call"),
            ({"sfim": 0, "sfim_kind": 0.5, "kinds": {"if": 0}}, "weight above 0"),
        ],
    )
    def test_what_is_impossible_is_refused(self, values: dict[str, object], said: str) -> None:
        with pytest.raises(ValidationError, match=said):
            ObjectiveMix(**values)  # type: ignore[arg-type]

    def test_every_kind_counts_unless_told_otherwise(self) -> None:
        assert ObjectiveMix().kinds == dict.fromkeys(KINDS, 1.0)
