"""Shards read row by row, from where they lie or from copies on the local disk."""

import errno
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pytest

from treespan.jobs.pack.shard_index import INDEX, index_of
from treespan.jobs.train import shard_reader
from treespan.jobs.train.shard_cache import ShardCache
from treespan.jobs.train.shard_reader import ShardReader, open_readers
from treespan.platform.errors import UserError
from treespan.platform.schemas import batches, shards
from treespan.platform.steps import read_output
from treespan.platform.store import FileEntry, Store

SEQ_LEN, PARTS, ROWS_OF_PART = 64, 6, 9


class CountingStore(Store):
    """A store that counts which shards are copied, and which are read in place."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.copied: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()

    def copy_out(self, relative: str, target: IO[bytes]) -> None:
        self.copied[relative[-10:-6]] += 1
        super().copy_out(relative, target)

    def open_file(self, relative: str) -> pa.NativeFile:
        self.opened[relative[-10:-6]] += 1
        return super().open_file(relative)


def record(number: int) -> dict[str, object]:
    """A row of one document, told apart by its tokens."""
    segment = {"file_id": "f", "start": 0, "length": 50, "middle_start": 20, "middle_length": 9}
    tags = {"objective": "fim", "language": "Python", "strategy": "path"}
    return {
        "tokens": np.arange(SEQ_LEN, dtype=np.int32) + number,
        "document_lengths": [50],
        "loss_mask": np.ones(SEQ_LEN, np.uint8),
        "segments": [segment | tags],
    }


def write_shards(store: Store, folder: str = "steps/pack-0") -> list[FileEntry]:
    """Two epochs of shards, their index and a manifest."""
    epochs, written = [], []
    for epoch in range(2):
        parts = []
        for part in range(PARTS):
            first = (epoch * PARTS + part) * ROWS_OF_PART
            rows = (record(number) for number in range(first, first + ROWS_OF_PART))
            name = f"epoch-{epoch:02d}/part-{part:05d}.arrow"
            schema = shards(SEQ_LEN)
            table = batches(schema, rows, rows_per_batch=4)
            written.append(store.write_table(f"{folder}/shards/{name}", schema, table))
            parts.append((name, ROWS_OF_PART))
        epochs.append(parts)
    store.write_json(f"{folder}/shards/{INDEX}", index_of(epochs, SEQ_LEN))
    named = [entry.to_dict() | {"path": entry.path.removeprefix(f"{folder}/")} for entry in written]
    store.write_json(f"{folder}/manifest.json", {"files": named})
    return written


def first_tokens(reader: ShardReader) -> list[int]:
    return [int(reader.row(index).tokens[0]) for index in range(reader.rows)]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(str(tmp_path_factory.mktemp("store")))
    write_shards(store)
    return store


@pytest.fixture(scope="module")
def remote(s3: Callable[[str], str]) -> str:
    uri = s3("bucket/training")
    write_shards(Store(uri))
    return uri


@pytest.fixture
def store(remote: str) -> CountingStore:
    return CountingStore(remote)


def cache_of(store: Store, folder: Path, copies: int = 100) -> ShardCache:
    """A cache with room for so many shards."""
    packed = read_output(store, "steps/pack-0")
    assert packed is not None
    entries = packed.entries()
    size = max(entry.bytes for entry in entries.values())
    return ShardCache(folder, store, entries, max_bytes=copies * size + size // 2)


def copies_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.arrow"))


def path_of(part: int, epoch: int = 0) -> str:
    return f"steps/pack-0/shards/epoch-{epoch:02d}/part-{part:05d}.arrow"


def test_local_rows_are_found_in_any_order(local: Store, tmp_path: Path) -> None:
    first, second = open_readers(local, "steps/pack-0/shards", tmp_path)
    assert first.rows == second.rows == PARTS * ROWS_OF_PART
    assert first.seq_len == SEQ_LEN
    for index in (53, 0, 8, 9, 31):
        row = first.row(index)
        assert row.tokens.tolist() == record(index)["tokens"].tolist()  # type: ignore[attr-defined]
        assert row.document_lengths.tolist() == [50]
        assert (row.middle_starts.tolist(), row.middle_lengths.tolist()) == ([20], [9])
        assert row.tags == [("fim", "Python", "path")]
    assert int(second.row(0).tokens[0]) == PARTS * ROWS_OF_PART
    assert not copies_in(tmp_path)
    with pytest.raises(UserError, match="no row 54"):
        first.row(54)


def test_a_local_row_is_a_view_of_the_file(local: Store) -> None:
    (reader, _) = open_readers(local, "steps/pack-0/shards")
    before = pa.total_allocated_bytes()
    rows = [reader.row(index) for index in range(reader.rows)]
    assert pa.total_allocated_bytes() - before < rows[0].tokens.nbytes
    assert not any(row.tokens.flags.owndata or row.tokens.flags.writeable for row in rows)


def test_few_shards_are_held_open(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_reader, "OPEN_SHARDS", 2)
    monkeypatch.setattr(shard_reader, "OPEN_BATCHES", 2)

    def maps() -> int:
        with open("/proc/self/maps") as lines:
            return sum("epoch-00" in line and local.uri in line for line in lines)

    before = maps()
    reader = open_readers(local, "steps/pack-0/shards")[0]
    for index in range(reader.rows):
        reader.row(index)
        # Those that are open, and those that a batch is still a view of.
        assert maps() - before <= 4
    assert maps() > before


def test_remote_rows_are_the_same_with_and_without_copies(
    store: CountingStore, local: Store, tmp_path: Path
) -> None:
    wanted = first_tokens(open_readers(local, "steps/pack-0/shards")[0])
    direct = open_readers(store, "steps/pack-0/shards")[0]
    assert first_tokens(direct) == wanted
    assert not store.copied
    store.opened.clear()
    copied = open_readers(store, "steps/pack-0/shards", tmp_path)[0]
    assert first_tokens(copied) == wanted
    assert store.copied == {f"000{part}": 1 for part in range(PARTS)}
    assert not store.opened
    # Another process finds the copies.
    assert first_tokens(open_readers(store, "steps/pack-0/shards", tmp_path)[0]) == wanted
    assert store.copied.total() == PARTS == len(copies_in(tmp_path))


@pytest.mark.parametrize("damage", ["other bytes", "too short", "gone"])
def test_a_damaged_copy_is_fetched_again(store: CountingStore, tmp_path: Path, damage: str) -> None:
    cache_of(store, tmp_path).open(path_of(1))
    (copy,) = copies_in(tmp_path)
    whole = copy.read_bytes()
    if damage == "gone":
        copy.unlink()
    else:
        copy.write_bytes(whole[:-9] if damage == "too short" else whole[:99] + b"?" + whole[100:])
    assert cache_of(store, tmp_path).open(path_of(1)) is not None
    assert copy.read_bytes() == whole
    assert store.copied == {"0001": 2}


def test_a_store_with_other_bytes_than_its_manifest_says_so(tmp_path: Path) -> None:
    source = Store(str(tmp_path / "store"))
    entry = write_shards(source)[0]
    wrong = FileEntry(entry.path, entry.bytes, "0" * 64)
    cache = ShardCache(tmp_path / "cache", source, {entry.path: wrong})
    with pytest.raises(UserError, match=r"part-00000\.arrow is damaged"):
        cache.open(entry.path)
    assert not list((tmp_path / "cache").glob("*.*"))


def test_the_least_recently_opened_copies_of_others_make_room(
    store: CountingStore, tmp_path: Path
) -> None:
    cache = cache_of(store, tmp_path, copies=3)
    for part in range(3):
        cache.open(path_of(part))
    for age, part in enumerate((1, 2, 0)):
        copy = tmp_path / f"{cache._entries[path_of(part)].sha256}.arrow"
        os.utime(copy, (1000 + age, 1000 + age))
    cache.open(path_of(1))  # which makes it the newest
    mapped = cache.open(path_of(2))
    assert mapped is not None
    cache.open(path_of(0, epoch=1), keep=[path_of(part, epoch=1) for part in range(PARTS)])
    assert len(copies_in(tmp_path)) == 3
    cache.open(path_of(1))
    assert store.copied["0000"] == 2  # that of epoch 1 took the place of that of epoch 0
    cache.open(path_of(0))
    assert store.copied["0000"] == 3
    # What was dropped can still be read by who has it.
    assert mapped.read(6) == b"ARROW1"


def test_an_epoch_larger_than_the_disk_is_not_fetched_over_and_over(
    store: CountingStore, local: Store, tmp_path: Path
) -> None:
    cache = cache_of(store, tmp_path, copies=2)
    index = open_readers(local, "steps/pack-0/shards")[0]._index
    reader = ShardReader(store, index, 0, cache)
    wanted = first_tokens(open_readers(local, "steps/pack-0/shards")[0])
    for _ in range(3):
        assert first_tokens(reader) == wanted
    assert store.copied == {"0000": 1, "0001": 1}
    assert set(store.opened) == {"0002", "0003", "0004", "0005"}
    # The next epoch takes what the first one has no more use for.
    assert len(first_tokens(ShardReader(store, index, 1, cache))) == reader.rows
    assert store.copied == {"0000": 2, "0001": 2}
    assert len(copies_in(tmp_path)) == 2


class FullDisk(CountingStore):
    """What is copied finds the disk full after so many shards."""

    room = 2

    def copy_out(self, relative: str, target: IO[bytes]) -> None:
        if self.copied.total() == self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().copy_out(relative, target)


def test_a_full_disk_is_told_once_and_the_rest_read_from_the_store(
    remote: str, local: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = FullDisk(remote)
    index = open_readers(local, "steps/pack-0/shards")[0]._index
    reader = ShardReader(store, index, 0, cache_of(store, tmp_path))
    assert first_tokens(reader) == first_tokens(open_readers(local, "steps/pack-0/shards")[0])
    assert store.copied == {"0000": 1, "0001": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "TREESPAN_CACHE" in caplog.text
    assert len(list(tmp_path.glob("*.*"))) == 2


def test_what_a_dead_process_left_half_written_makes_room(
    store: CountingStore, tmp_path: Path
) -> None:
    cache = cache_of(store, tmp_path, copies=1)
    size = cache._entries[path_of(0)].bytes
    (tmp_path / f"{'a' * 64}.partial").write_bytes(bytes(size))
    assert cache.open(path_of(0)) is not None
    assert [file.suffix for file in tmp_path.glob("*.*")] == [".arrow"]


OPEN_ALL = """
import sys
from pathlib import Path
from treespan.jobs.train.shard_cache import ShardCache
from treespan.platform.steps import read_output
from treespan.platform.store import Store

class Counting(Store):
    copied = 0

    def copy_out(self, relative, target):
        self.copied += 1
        super().copy_out(relative, target)

store = Counting(sys.argv[1])
entries = read_output(store, "steps/pack-0").entries()
cache = ShardCache(Path(sys.argv[2]), store, entries)
for path, entry in entries.items():
    assert len(cache.open(path).read()) == entry.bytes
print(store.copied)
"""


def test_processes_of_a_node_share_copies(remote: str, tmp_path: Path, root: Path) -> None:
    command = [sys.executable, "-c", OPEN_ALL, remote, str(tmp_path)]
    running = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    fetched = [int(process.communicate()[0]) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert sum(fetched) == 2 * PARTS == len(copies_in(tmp_path))


def test_a_cache_that_cannot_be_made_says_what_to_do(local: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="TREESPAN_CACHE"):
        ShardCache(tmp_path / "file", local, {})
