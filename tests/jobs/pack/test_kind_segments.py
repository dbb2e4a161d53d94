"""Holes of the aiXcoder kinds: they keep their kind in the shard, and the file comes back."""

from collections import Counter

import pytest
from tests.jobs.pack.test_segments_and_rows import RENDERER, TOKENIZER, restored
from tests.model.test_kinds import EXAMPLES

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.layout import lay_out
from treespan.jobs.pack.rows import chunks_of
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.model.kinds import KINDS
from treespan.model.objectives import ObjectiveMix

ONLY_KINDS = {"ntp": 0.0, "fim": 0.0, "sfim": 0.0, "sfim_kind": 1.0}


def builder(seq_len: int = 1024, **kinds: float) -> SegmentBuilder:
    weights = {"kinds": kinds} if kinds else {}
    mix = ObjectiveMix(**(ONLY_KINDS | weights))  # type: ignore[arg-type]
    return SegmentBuilder(PackConfig(seq_len=seq_len, objectives=mix), RENDERER, epoch=0)


def file(language: str, number: int) -> FileText:
    return FileText(f"{number:032x}", "src/shape", language, EXAMPLES[language]["source"], "path")


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("seq_len", [256, 2048])
def test_segments_have_kinds_and_give_back_the_file(language: str, seq_len: int) -> None:
    text = EXAMPLES[language]["source"]
    drawn: Counter[str] = Counter()
    for number in range(40):
        segments = builder(seq_len).build(file(language, number))
        assert restored(segments) == text
        at = 0
        for segment in segments:
            if segment.objective == "sfim-kind":
                span, first = segment.span, segment.middle_start
                assert span is not None
                assert span.kind in KINDS
                assert at <= span.start <= span.end <= at + segment.text_bytes
                middle = segment.tokens[first : first + segment.middle_length].tolist()
                assert TOKENIZER.decode(middle).encode() == text.encode()[span.start : span.end]
                drawn[span.kind] += 1
            at += segment.text_bytes
    assert len(drawn) > 5


def test_rows_name_the_kind_and_weights_choose_it() -> None:
    segments = builder(empty=1.0).build(file("Python", 0))
    (row,) = lay_out([list(chunks_of(segments, 1024))], 1024, RENDERER.pad).to_pylist()
    (segment,) = row["segments"]
    assert segment["kind"] == "empty"
    assert segment["middle_bytes"] == segment["middle_length"] == 0


def test_a_language_without_kinds_falls_back() -> None:
    haskell = FileText("0" * 32, "a.hs", "Haskell", "main = print 1\n", "path")
    (segment,) = builder().build(haskell)
    assert segment.objective == "fim"
    assert segment.fallback == "no-kind"
