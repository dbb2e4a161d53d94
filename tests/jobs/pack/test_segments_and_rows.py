"""From files to rows: nothing lost, nothing cut that fits, masks that never cross documents."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import normalizers

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.layout import lay_out
from treespan.jobs.pack.rows import MAX_PADDING, best_fit, chunks_of, rows_of
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.objectives import ObjectiveMix
from treespan.model.span_source import Span
from treespan.model.tokenizer import Tokenizer, train
from treespan.platform.errors import UserError

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


def restored(segments) -> str:  # type: ignore[no-untyped-def]
    """The inverse: the text of the file, from the tokens of its segments alone."""
    return "".join(
        RENDERER.restore(s.tokens, RENDERER.header_ids(s.file.path, s.file.language))
        for s in segments
    )


@pytest.mark.parametrize("text", ["x", "x = 1\n", BODY.format(1), LONG])
@pytest.mark.parametrize("seq_len", [128, 256, 4096])
def test_segments_give_back_the_file_byte_for_byte(text: str, seq_len: int) -> None:
    for number in range(20):
        segments = builder(seq_len).build(file(text, number))
        assert all(len(segment.tokens) <= seq_len for segment in segments)
        assert restored(segments) == text
        assert sum(segment.text_bytes for segment in segments) == len(text.encode())


@given(st.text(min_size=1), st.integers(0, 50))
def test_any_text_survives(text: str, number: int) -> None:
    segments = builder(128).build(file(text, number))
    assert restored(segments) == text
    assert all(len(segment.tokens) <= 128 for segment in segments)


def sfim_spans(text: str, number: int, seq_len: int) -> list[Span]:
    segments = builder(seq_len, ntp=0.0, fim=0.0, sfim=1.0).build(file(text, number))
    assert restored(segments) == text
    data, at = text.encode(), 0
    for segment in segments:
        if segment.span is not None:
            first = segment.middle_start
            middle = segment.tokens[first : first + segment.middle_length].tolist()
            assert at <= segment.span.start <= segment.span.end <= at + segment.text_bytes
            # What is encoded apart is what the model is asked for.
            masked = data[segment.span.start : segment.span.end].decode()
            assert middle == TOKENIZER.encode(masked)
            assert segment.tokens[first + segment.middle_length] == RENDERER.eos
        at += segment.text_bytes
    return [s.span for s in segments if s.objective == "sfim" and s.span is not None]


TABLE = "T = [" + ", ".join(f"f({i})" for i in range(200)) + "]\n"


@pytest.mark.parametrize(("text", "seq_len"), [(LONG, 256), (TABLE * 3, 256), (LONG[:-4], 128)])
def test_structured_middles_end_at_line_ends(text: str, seq_len: int) -> None:
    """In the file, not only in the piece: a line too long for a row is cut, but is no line then."""
    data = text.encode()
    spans = [span for number in range(120) for span in sfim_spans(text, number, seq_len)]
    assert len(spans) > 20
    for span in spans:
        assert span.node_type
        assert data[span.end : span.end + 1] in (b"", b"\n")
        assert span.end < len(data) or not data.endswith(b"\n")


@pytest.mark.parametrize("seq_len", [128, 256, 1024])
def test_the_pieces_of_a_long_file_fill_rows(seq_len: int) -> None:
    for number in range(20):
        *full, _ = builder(seq_len).build(file(LONG * 5, number))
        assert len(full) > 4
        assert all(len(segment.tokens) >= 0.96 * seq_len for segment in full)
        wasted = sum(seq_len - len(segment.tokens) for segment in full)
        assert wasted < 0.02 * seq_len * len(full)


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
    assert (bare.objective, bare.fallback) == ("ntp", "no-node")
    short = builder(ntp=0.0, fim=1.0, sfim=0.0).build(file("x"))[0]
    assert (short.objective, short.fallback) == ("ntp", "too-short")


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
    (row,) = lay_out([chunks], 512, RENDERER.pad).to_pylist()
    tokens, loss_mask = np.array(row["tokens"]), np.array(row["loss_mask"])
    lengths = row["document_lengths"]
    assert lengths == [chunk.length for chunk in chunks]
    filled = sum(lengths)
    assert (tokens[filled:] == RENDERER.pad).all()
    assert loss_mask.sum() == filled - len(lengths)
    assert loss_mask[[0, lengths[0]]].tolist() == [0, 0]
    assert sum(segment["length"] for segment in row["segments"]) == filled
    for segment in row["segments"]:
        assert tokens[segment["start"]] == RENDERER.bos
        if segment["objective"] != "ntp":
            end = segment["middle_start"] + segment["middle_length"]
            assert tokens[end] == RENDERER.eos
            middle = TOKENIZER.decode(tokens[segment["middle_start"] : end].tolist())
            assert segment["middle_bytes"] == len(middle.encode())


def test_rows_of_a_batch_each_have_their_own() -> None:
    files = [file(BODY.format(i), i) for i in range(40)]
    chunks = [c for f in files for c in chunks_of(builder().build(f), 256)]
    rows = rows_of(chunks, 256)
    batch = lay_out(rows, 256, RENDERER.pad)
    assert batch.num_rows == len(rows) > 3
    for row, alone in zip(batch.to_pylist(), rows, strict=True):
        assert [row] == lay_out([alone], 256, RENDERER.pad).to_pylist()
        assert [s["file_id"] for s in row["segments"]] == [
            s.file.file_id for chunk in alone for s in chunk.segments
        ]


def test_chunks_are_halved_where_whole_ones_leave_gaps() -> None:
    files = [file((BODY.format(i) * (1 + i % 7))[i % 40 :], i) for i in range(400)]
    documents = [files[at : at + 20] for at in range(0, 400, 20)]
    built = [[s for f in document for s in builder(600).build(f)] for document in documents]
    chunks = [chunk for segments in built for chunk in chunks_of(segments, 600)]
    rows = rows_of(chunks, 600)
    placed = [s for row in rows for chunk in row for s in chunk.segments]
    assert Counter(map(id, placed)) == Counter(id(s) for segments in built for s in segments)
    tokens = sum(len(s.tokens) for s in placed)
    whole = best_fit([chunk.length for chunk in chunks], 600)
    assert len(rows) < len(whole)
    assert len(rows) * 600 - tokens < 4 * MAX_PADDING * tokens


def test_what_fits_one_row_is_not_taken_apart() -> None:
    segments = [s for i in range(5) for s in builder(8192).build(file(BODY.format(i), i))]
    (chunk,) = chunks_of(segments, 8192)
    assert rows_of([chunk], 8192) == [[chunk]]


def test_rows_come_in_the_order_of_their_chunks() -> None:
    lengths = (3, 6, 4, 1, 5)
    files = [file(BODY.format(i) * n, i) for i, n in enumerate(lengths)]
    chunks = [c for f in files for c in chunks_of(builder(1024).build(f), 1024)]
    rows = rows_of(chunks, 400)
    assert len(rows) > 2
    firsts = [chunks.index(row[0]) for row in rows]
    assert firsts == sorted(firsts)


def test_a_row_too_short_for_a_character_says_so() -> None:
    header = "# the file path is: a.py\n# the code file is written by Python\n"
    own = train([header * 9], vocab_size=400, special_tokens=FORMAT.special_tokens())
    fast = FastTokenizer.from_str(own.serialized)
    fast.normalizer = normalizers.NFKD()
    renderer = FimRenderer(FORMAT, Tokenizer(fast.to_str()))
    narrow = SegmentBuilder(PackConfig(seq_len=64), renderer, 0)
    lengths = {len(renderer.header_ids(n * "7", "Python")): n for n in range(60)}
    path = "7" * lengths[32]
    with pytest.raises(UserError, match="rows of 64 tokens"):
        narrow.build(FileText("f" * 32, path, "Python", "\ufdfa" * 9, "path"))


def test_a_long_documents_chunks_stay_in_order_and_full() -> None:
    segments = [s for i in range(30) for s in builder(256).build(file(BODY.format(i), i))]
    chunks = list(chunks_of(segments, 256))
    assert [s for chunk in chunks for s in chunk.segments] == segments
    for chunk, following in itertools.pairwise(chunks):
        assert chunk.length + len(following.segments[0].tokens) > 256
