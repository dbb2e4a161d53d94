"""From files to rows: nothing lost, nothing cut that fits, masks that never cross documents."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.rows import best_fit, chunks_of, lay_out
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.objectives import ObjectiveMix
from treespan.model.tokenizer import train

BODY = "def add_{0}(a, b):\n    total = a + b  # größer\n    return total * {0}\n\n\n"
LONG = "".join(BODY.format(i) for i in range(60))
FORMAT = FimFormat()
TOKENIZER = train([LONG], vocab_size=400, special_tokens=FORMAT.special_tokens())
RENDERER = FimRenderer(FORMAT, TOKENIZER)


def builder(seq_len: int = 256, epoch: int = 0, **shares: float) -> SegmentBuilder:
    mix = ObjectiveMix(**({"ntp": 0.3, "fim": 0.2, "sfim": 0.5} | shares))  # type: ignore[arg-type]
    return SegmentBuilder(PackConfig(seq_len=seq_len, objectives=mix), RENDERER, epoch)


def file(text: str, number: int = 0, language: str = "Python") -> FileText:
    return FileText(f"{number:032x}", f"a/m{number}.py", language, text, "path")


def text_of(segment) -> str:  # type: ignore[no-untyped-def]
    """The inverse: the piece's text, from the tokens of a segment alone."""
    ids = segment.tokens.tolist()
    if segment.objective == "ntp":
        head, middle, rest = ids[1:], [], []
        head = head[:-1] if head and head[-1] == RENDERER.eos else head
        return TOKENIZER.decode(head)
    pre, suf, mid = (TOKENIZER.id_of(t) for t in (FORMAT.prefix, FORMAT.suffix, FORMAT.middle))
    middle = ids[segment.middle_start : segment.middle_start + segment.middle_length]
    if segment.order == "psm":
        head = ids[ids.index(pre) + 1 : ids.index(suf)]
        rest = ids[ids.index(suf) + 1 : ids.index(mid)]
    else:
        rest = ids[ids.index(suf) + 1 : ids.index(mid)]
        head = ids[ids.index(mid) + 1 : segment.middle_start]
    return "".join(TOKENIZER.decode(part) for part in (head, middle, rest))


def without_header(text: str, path: str) -> str:
    header = TOKENIZER.decode(RENDERER.header_ids(path, "Python"))
    assert text.startswith(header)
    return text.removeprefix(header)


@pytest.mark.parametrize("text", ["x", "x = 1\n", BODY.format(1), LONG])
@pytest.mark.parametrize("seq_len", [128, 256, 4096])
def test_segments_give_back_the_file_byte_for_byte(text: str, seq_len: int) -> None:
    for number in range(20):
        segments = builder(seq_len).build(file(text, number))
        assert all(len(segment.tokens) <= seq_len for segment in segments)
        pieces = [without_header(text_of(s), s.file.path) for s in segments]
        assert "".join(pieces) == text
        assert sum(segment.text_bytes for segment in segments) == len(text.encode())


@given(st.text(min_size=1), st.integers(0, 50))
def test_any_text_survives(text: str, number: int) -> None:
    segments = builder(128).build(file(text, number))
    assert "".join(without_header(text_of(s), s.file.path) for s in segments) == text
    assert all(len(segment.tokens) <= 128 for segment in segments)


def sfim_cuts(text: str, number: int, seq_len: int) -> list[int]:
    """Where in the file the structured middles end, in characters."""
    cuts, at = [], 0
    for segment in builder(seq_len, ntp=0.0, fim=0.0, sfim=1.0).build(file(text, number)):
        piece = without_header(text_of(segment), segment.file.path)
        if segment.objective == "sfim":
            ids = segment.tokens.tolist()
            assert ids[segment.middle_start + segment.middle_length] == RENDERER.eos
            suffix, middle = TOKENIZER.id_of(FORMAT.suffix), TOKENIZER.id_of(FORMAT.middle)
            rest = ids[ids.index(suffix) + 1 : ids.index(middle)]
            cuts.append(at + len(piece) - len(TOKENIZER.decode(rest)))
            assert segment.node_type
        at += len(piece)
    assert at == len(text)
    return cuts


TABLE = "T = [" + ", ".join(f"f({i})" for i in range(200)) + "]\n"


@pytest.mark.parametrize(("text", "seq_len"), [(LONG, 256), (TABLE * 3, 256), (LONG[:-4], 128)])
def test_structured_middles_end_at_line_ends(text: str, seq_len: int) -> None:
    """In the file, not only in the piece: a line too long for a row is cut, but is no line then."""
    cuts = [cut for number in range(120) for cut in sfim_cuts(text, number, seq_len)]
    assert len(cuts) > 20
    assert all(text[cut : cut + 1] in ("", "\n") for cut in cuts)
    assert all(cut < len(text) or not text.endswith("\n") for cut in cuts)


def test_a_file_that_fits_is_one_segment_and_shares_are_as_asked() -> None:
    counts: Counter[str] = Counter()
    for number in range(600):
        segments = builder(512).build(file(BODY.format(number), number))
        assert len(segments) == 1
        counts[segments[0].objective] += 1
    assert abs(counts["ntp"] / 600 - 0.3) < 0.06
    assert abs(counts["sfim"] / 600 - 0.5) < 0.06


def test_fallbacks_say_why() -> None:
    only = {"ntp": 0.0, "fim": 0.0, "sfim": 1.0}
    unknown = builder(**only).build(file("a b c\n", language="No Such Language"))[0]
    assert (unknown.objective, unknown.fallback) == ("fim", "no-grammar")
    bare = builder(**only).build(file("x"))[0]
    assert (bare.objective, bare.fallback) == ("ntp", "too-short")


def test_epochs_draw_anew_and_equal_draws_are_equal() -> None:
    def tokens(epoch: int) -> list[list[int]]:
        return [s.tokens.tolist() for s in builder(epoch=epoch).build(file(LONG))]

    assert tokens(0) == tokens(0)
    assert tokens(0) != tokens(1)


@given(st.lists(st.integers(1, 50), max_size=80))
def test_best_fit_places_everything_once_within_rows(lengths: list[int]) -> None:
    rows = best_fit(lengths, 50)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[i] for i in row) <= 50 for row in rows)
    # No two rows could be one: best fit would have filled the first.
    used = sorted(sum(lengths[i] for i in row) for row in rows)
    if len(used) > 1:
        assert used[0] + used[1] > 50


def test_best_fit_refuses_what_cannot_fit() -> None:
    with pytest.raises(ValueError, match="over the 10"):
        best_fit([11], 10)


def test_rows_hold_documents_masks_and_segments() -> None:
    documents = [[file(BODY.format(i), i) for i in range(4)], [file("x = 1\n", 9)]]
    chunks = [
        chunk
        for document in documents
        for chunk in chunks_of([s for f in document for s in builder(512).build(f)], 512)
    ]
    assert len(chunks) == 2
    row = lay_out(chunks, 512, RENDERER.pad)
    lengths = row["document_lengths"]
    assert lengths == [chunk.length for chunk in chunks]
    filled = sum(lengths)
    assert (row["tokens"][filled:] == RENDERER.pad).all()
    assert row["loss_mask"].sum() == filled - len(lengths)
    assert row["loss_mask"][[0, lengths[0]]].tolist() == [0, 0]
    assert sum(segment["length"] for segment in row["segments"]) == filled
    for segment in row["segments"]:
        assert row["tokens"][segment["start"]] == RENDERER.bos
        if segment["objective"] != "ntp":
            end = segment["middle_start"] + segment["middle_length"]
            assert row["tokens"][end] == RENDERER.eos
    assert np.issubdtype(row["tokens"].dtype, np.int32)


def test_a_long_documents_chunks_stay_in_order_and_full() -> None:
    segments = [s for i in range(30) for s in builder(256).build(file(BODY.format(i), i))]
    chunks = list(chunks_of(segments, 256))
    assert [s for chunk in chunks for s in chunk.segments] == segments
    for chunk, following in itertools.pairwise(chunks):
        assert chunk.length + len(following.segments[0].tokens) > 256
