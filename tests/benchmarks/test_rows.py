"""The benchmark of rows: what it makes up is what packing writes. No timing is judged."""

from pathlib import Path

import pytest
from benchmarks import rows as benchmark

from treespan.jobs.train.batch import batch_of
from treespan.jobs.train.shard_reader import open_readers
from treespan.platform.store import Store


def test_made_up_rows_are_read_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path))
    benchmark.write_shards(store, 640, 1)
    (reader,) = open_readers(store, "shards")
    assert reader.rows == benchmark.SHARDS * 64
    batch = batch_of([reader.row(0)], 640)
    # All but the last are targets, in the shorter second segment too.
    assert batch.segments[0].tolist() == [0] * 639 + [-1]
    assert batch.documents[0].bincount().tolist() == [160] * 4
    assert int(batch.middle_left.isnan().logical_not().sum()) == 2 * 41
    assert all(rate > 0 for rate in benchmark.rates(reader))
    monkeypatch.setattr(benchmark, "SECONDS", 0.05)
    waited, _ = benchmark.waits(reader, 50_000)
    assert 0 <= waited < 1
