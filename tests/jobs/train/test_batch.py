"""Rows as tensors and losses as sums, held against loops over single tokens."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.train.batch import Batch, Row, Tags, batch_of
from treespan.jobs.train.shard_reader import open_readers
from treespan.jobs.train.step_record import Tally
from treespan.jobs.train.tally import TallyKeys
from treespan.model.loss import IGNORED
from treespan.model.objectives import OBJECTIVES
from treespan.platform.steps import Output

SEQ_LEN = 24
TAGS = [
    Tags("ntp", "Python", "path"),
    Tags("sfim", "Python", "content"),
    Tags("fim", "Go", "path"),
    Tags("sfim", "C", "random"),
]

# A segment: its length, where in it the middle begins (0: no hole) and how long that is, its tags.
segments = st.tuples(
    st.integers(2, 9), st.integers(0, 8), st.integers(0, 8), st.integers(0, len(TAGS) - 1)
).map(lambda s: (s[0], min(s[1], s[0] - 1), min(s[2], s[0] - min(s[1], s[0] - 1)), s[3]))
documents = st.lists(st.lists(segments, min_size=1, max_size=2), max_size=3)


def row_of(chunks: list[list[tuple[int, int, int, int]]]) -> Row | None:
    """A row of ``chunks``; None where there are none. What does not fit is left out."""
    tokens, mask = np.zeros(SEQ_LEN, np.int32), np.zeros(SEQ_LEN, np.uint8)
    lengths, found, at = [], [], 0
    for chunk in chunks:
        length = sum(segment[0] for segment in chunk)
        if at + length > SEQ_LEN:
            continue
        lengths.append(length)
        mask[at + 1 : at + length] = 1
        for size, hole, middle, tags in chunk:
            found.append((size, at + hole if hole else -1, middle if hole else 0, TAGS[tags]))
            at += size
    if not found:
        return None
    tokens[:at] = np.arange(at) * 7 % 50 + 1
    columns = [np.array(column, np.int32) for column in list(zip(*found, strict=True))[:3]]
    return Row(tokens, mask, np.array(lengths, np.int32), *columns, [f[3] for f in found])


def by_token(row: dict[str, Any], seq_len: int) -> list[dict[str, Any]]:
    """What a batch says of each token of ``row``, found token by token."""
    told = []
    for t in range(seq_len):
        document, first, end = 0, 0, 0
        for number, length in enumerate([*row["document_lengths"], seq_len]):
            if t < end + length:
                document, first = number, end
                break
            end += length
        is_target = t + 1 < seq_len and row["loss_mask"][t + 1] == 1
        tags, left = None, math.nan
        for s in row["segments"]:
            if is_target and s["start"] <= t + 1 < s["start"] + s["length"]:
                tags = Tags(s["objective"], s["language"], s["strategy"])
            start, length = s["middle_start"], s["middle_length"]
            if start >= 0 and start - 1 <= t < start + length:
                left = (start + length - 1 - t) / max(1, length)
        told.append(
            {
                "target": row["tokens"][t + 1] if is_target else IGNORED,
                "document": document,
                "position": t - first,
                "tags": tags,
                "left": left,
            }
        )
    return told


def told_by(batch: Batch, row: int, t: int) -> dict[str, Any]:
    segment = int(batch.segments[row, t])
    return {
        "target": int(batch.targets[row, t]),
        "document": int(batch.documents[row, t]),
        "position": int(batch.positions[row, t]),
        "tags": batch.tags[segment] if segment >= 0 else None,
        "left": float(batch.middle_left[row, t]),
    }


def check(batch: Batch, rows: list[dict[str, Any]]) -> None:
    seq_len = batch.tokens.shape[1]
    for index, row in enumerate(rows):
        assert batch.tokens[index].tolist() == list(row["tokens"])
        for t, wanted in enumerate(by_token(row, seq_len)):
            told = told_by(batch, index, t)
            left = pytest.approx(wanted.pop("left"), nan_ok=True)
            assert told.pop("left") == left
            assert told == wanted, (index, t)


def as_record(row: Row | None) -> dict[str, Any]:
    """``row`` as a shard's row reads in Python."""
    if row is None:
        return {
            "tokens": [0] * SEQ_LEN,
            "loss_mask": [0] * SEQ_LEN,
            "document_lengths": [],
            "segments": [],
        }
    starts = np.cumsum(row.segment_lengths) - row.segment_lengths
    columns = (starts, row.segment_lengths, row.middle_starts, row.middle_lengths, row.tags)
    return {
        "tokens": row.tokens.tolist(),
        "loss_mask": row.loss_mask.tolist(),
        "document_lengths": row.document_lengths.tolist(),
        "segments": [
            {
                "start": int(start),
                "length": int(length),
                "middle_start": int(middle_start),
                "middle_length": int(middle_length),
                **tags._asdict(),
            }
            for start, length, middle_start, middle_length, tags in zip(*columns, strict=True)
        ],
    }


@given(st.lists(documents, min_size=1, max_size=3))
def test_a_batch_is_what_a_loop_over_tokens_finds(chunks: list[Any]) -> None:
    rows = [row_of(chunk) for chunk in chunks]
    batch = batch_of(rows, SEQ_LEN)
    check(batch, [as_record(row) for row in rows])
    dtypes = [t.dtype for t in (batch.tokens, batch.targets, batch.segments, batch.middle_left)]
    assert dtypes == [torch.int64, torch.int64, torch.int64, torch.float32]
    assert len(set(batch.tags)) == len(batch.tags)


def test_packed_rows_become_batches(packed: Output) -> None:
    (reader,) = open_readers(packed.store, f"{packed.folder}/shards")
    records = [
        record
        for path in packed.files("shards/epoch-00")
        for record in packed.store.read_table(path).to_pylist()
    ]
    assert reader.rows == len(records) > 2
    batch = batch_of([reader.row(index) for index in range(reader.rows)], len(records[0]["tokens"]))
    check(batch, records)
    shares = batch.middle_left[~batch.middle_left.isnan()]
    assert shares.min() == 0
    assert shares.max() == 1


def test_blank_rows_have_no_targets() -> None:
    batch = batch_of([None, None], SEQ_LEN)
    assert (batch.targets == IGNORED).all()
    assert (batch.segments == -1).all()
    assert batch.middle_left.isnan().all()
    assert batch.positions[0].tolist() == list(range(SEQ_LEN))


@given(st.lists(documents, min_size=1, max_size=4), st.integers(0, 99))
def test_sums_are_what_a_loop_over_targets_adds_up(chunks: list[Any], seed: int) -> None:
    batch = batch_of([row_of(chunk) for chunk in chunks], SEQ_LEN)
    losses = torch.rand(batch.tokens.shape, generator=torch.Generator().manual_seed(seed))
    keys = TallyKeys(["C", "Go", "Python"], ["path", "random"])
    tallies = keys.split(keys.sums(losses, batch))
    wanted: dict[str, list[float]] = {}
    for row, t in np.ndindex(*batch.tokens.shape):
        if batch.targets[row, t] != IGNORED:
            for name in batch.tags[int(batch.segments[row, t])]:
                wanted.setdefault(name, []).append(float(losses[row, t]))
    assert list(tallies.by_objective) == list(OBJECTIVES)
    for found in tallies:
        for name, tally in found.items():
            terms = wanted.get(name, [])
            assert tally.targets == len(terms)
            assert tally.nats == pytest.approx(math.fsum(terms), abs=1e-12)
    # A strategy that is not asked for is in no sum by strategy; what did not occur is left out.
    assert set(tallies.by_strategy) == {"path", "random"} & set(wanted)
    assert set(tallies.by_language) == {"C", "Go", "Python"} & set(wanted)


def test_sums_of_parts_add_up_and_equal_inputs_give_equal_bits() -> None:
    rows = [row_of([[(8, 3, 4, n % 4)], [(9, 0, 0, (n + 1) % 4)]]) for n in range(6)]
    losses = torch.rand(6, SEQ_LEN)
    keys = TallyKeys(["Python"], ["path"])
    whole = keys.sums(losses, batch_of(rows, SEQ_LEN))
    assert torch.equal(whole, keys.sums(losses.clone(), batch_of(rows, SEQ_LEN)))
    parts = keys.zeros()
    for row in range(6):
        parts += keys.sums(losses[row : row + 1], batch_of(rows[row : row + 1], SEQ_LEN))
    assert torch.allclose(parts, whole, rtol=1e-14)
    assert torch.equal(parts[:, 1], whole[:, 1])


def test_keys_come_from_what_was_counted(packed: Output) -> None:
    counted = {"tokens_by_language": {"Go": 2, "C": 1}, "files_by_strategy": {"path": 3}}
    output = Output(packed.store, "", {"counts": counted})
    keys = TallyKeys.of(output, output)
    sums = keys.zeros()
    sums[len(OBJECTIVES)] = torch.tensor([3.0, 2.0])
    assert len(keys) == len(sums) == len(OBJECTIVES) + 3
    assert keys.split(sums).by_language == {"C": Tally(3.0, 2)}
