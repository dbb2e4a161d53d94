"""Repositories are read in bundles and put together again: the parts must not show how."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.ingest import assemble, read
from treespan.jobs.ingest.assemble import assemble_partition, rebatch
from treespan.jobs.ingest.bundles import cut_bundles, pieces_of
from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import batches_by_bytes, read_repository
from treespan.jobs.ingest.read_bundle import read_bundle
from treespan.jobs.ingest.repository import Repository
from treespan.jobs.ingest.step import list_repositories
from treespan.jobs.ingest.table import TableRepository, load
from treespan.platform.draws import partition_of
from treespan.platform.ledger import Decision, account_of
from treespan.platform.schemas import FILES, LEDGER, batches
from treespan.platform.store import Store

PARTITIONS = 3


@pytest.fixture
def config(tmp_path: Path) -> IngestConfig:
    """Forty folders and forty repositories of a table in windows, their names in turns."""
    rows = []
    for number in range(40):
        folder = tmp_path / "folders" / f"r{number:02}a"
        folder.mkdir(parents=True)
        for file in range(number % 7):
            (folder / f"{file}.py").write_text(f"x = {number}\n" * (1 + file * 300))
            (folder / f"{file}.png").write_text("told in the ledger")
        for file in range(number % 5):
            text = f"y = {file}\n" * (1 + number * 50)
            rows.append({"repo": f"r{number:02}b", "path": f"{file}.py", "content": text})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "table.parquet", row_group_size=20)
    folders = {"kind": "directory", "path": str(tmp_path / "folders"), "each_subfolder": True}
    table = {"kind": "table", "path": str(tmp_path / "table.parquet"), "window_bytes": 20_000}
    return IngestConfig.model_validate({"sources": [folders, table], "partitions": PARTITIONS})


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (read, assemble):
        monkeypatch.setattr(module, "BATCH_ROWS", 5)
        monkeypatch.setattr(module, "BATCH_BYTES", 4000)


def test_bundles_keep_windows_together_and_hold_everything_once(config: IngestConfig) -> None:
    repositories = list_repositories(config)
    windows = len({id(r.window) for r in repositories if isinstance(r, TableRepository)})
    assert windows > PARTITIONS
    for most in (1000, 20, 1):
        bundles = cut_bundles(repositories, PARTITIONS, most)
        assert len(bundles) == min(40 + windows, -(-(40 + windows) // -(-(40 + windows) // most)))
        flat = [repository for bundle in bundles for repository in bundle]
        assert sorted(r.name for r in flat) == [r.name for r in repositories]
        for bundle in bundles:
            shared = [id(r.window) for r in bundle if isinstance(r, TableRepository)]
            runs = [window for n, window in enumerate(shared) if n == 0 or shared[n - 1] != window]
            assert len(runs) == len(set(runs))
    assert cut_bundles([], PARTITIONS) == []


@pytest.mark.parametrize("most", [1000, 7, 1])
def test_parts_do_not_depend_on_bundles(config: IngestConfig, tmp_path: Path, most: int) -> None:
    store = Store(str(tmp_path / "store"))
    repositories = list_repositories(config)
    bundles = cut_bundles(repositories, PARTITIONS, most)
    receipts = [read_bundle(store, "w", n, bundle, config) for n, bundle in enumerate(bundles)]
    pieces = pieces_of(bundles, [r.counts["batches"] for r in receipts], PARTITIONS)
    plain = [plainly(store, repositories, partition, config) for partition in range(PARTITIONS)]
    for partition in range(PARTITIONS):
        entries = assemble_partition(store, "out", "w", partition, pieces[partition]).files
        assert [entry.sha256 for entry in entries] == plain[partition]
    told = [r.counts["funnel"]["binary"][""] for r in receipts if r.counts["funnel"]]
    assert sum(told) == sum(number % 7 for number in range(40))
    assert sum(r.counts["files"] for r in receipts) == sum(n % 7 + n % 5 for n in range(40))


def plainly(
    store: Store, repositories: Sequence[Repository], partition: int, config: IngestConfig
) -> list[str]:
    """The hashes of a partition that is written in one go."""
    decisions: list[Decision] = []
    rows = (
        row
        for repository in repositories
        if partition_of(repository.name, PARTITIONS) == partition
        for row in read_repository(repository, config, decisions)
    )
    files = store.write_table("plain/files", FILES, batches_by_bytes(FILES, rows))
    ledger = store.write_table("plain/ledger", LEDGER, batches(LEDGER, decisions))
    assert (files.rows or 0) > 20
    assert account_of(decisions)["funnel"]
    return [files.sha256, ledger.sha256]


def test_a_window_is_read_once(config: IngestConfig, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    bundles = cut_bundles(list_repositories(config), PARTITIONS)
    load.cache_clear()
    loaded = 0
    for number, bundle in enumerate(bundles):
        before = load.cache_info().misses
        read_bundle(store, "w", number, bundle, config)
        # The last repository of a window clears the cache, and its counts.
        info = load.cache_info()
        loaded += isinstance(bundle[0], TableRepository) and (before, info.misses) == (0, 0)
    assert loaded == sum(isinstance(bundle[0], TableRepository) for bundle in bundles)


@given(
    sizes=st.lists(st.integers(0, 30), max_size=60),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    most_rows=st.integers(1, 8),
    enough_bytes=st.none() | st.integers(1, 80),
)
def test_rebatching_forgets_the_bounds(
    sizes: list[int], cuts: list[int], most_rows: int, enough_bytes: int | None
) -> None:
    schema = pa.schema([("size", pa.int64()), ("content", pa.large_string())])
    rows = [{"size": size, "content": "x" * size} for size in sizes]
    whole = [pa.RecordBatch.from_pylist(rows, schema=schema)] if rows else []
    pieces, start = [], 0
    while start < len(rows):
        length = cuts[len(pieces) % len(cuts)]
        pieces.append(pa.RecordBatch.from_pylist(rows[start : start + length], schema=schema))
        start += length
    found = list(rebatch(pieces, most_rows, enough_bytes))
    assert found == list(rebatch(whole, most_rows, enough_bytes))
    assert [row for batch in found for row in batch.to_pylist()] == rows
    for place, batch in enumerate(found):
        total = sum(batch["size"].to_pylist())
        full = batch.num_rows == most_rows or (enough_bytes is not None and total >= enough_bytes)
        assert full or place == len(found) - 1
        if enough_bytes is not None:
            assert total - batch["size"][-1].as_py() < enough_bytes
