"""The store: files appear whole or not at all, hashes are right, tables come back equal."""

import hashlib
import io
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from treespan.platform.errors import UserError
from treespan.platform.store import Store

SCHEMA = pa.schema([("x", pa.int64()), ("s", pa.string())])


def batch(*values: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"x": v, "s": str(v)} for v in values], schema=SCHEMA)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_bytes_and_json(store: Store) -> None:
    entry = store.write_bytes("a/b.bin", b"abc")
    assert (entry.path, entry.bytes) == ("a/b.bin", 3)
    assert entry.sha256 == hashlib.sha256(b"abc").hexdigest()
    assert store.read_bytes("a/b.bin") == b"abc"
    store.write_json("a/c.json", {"é": [1, None]})
    assert store.read_json("a/c.json") == {"é": [1, None]}
    copy = io.BytesIO()
    store.copy_out("a/b.bin", copy)
    assert copy.getvalue() == b"abc"
    assert store.list_files("a") == ["a/b.bin", "a/c.json"]
    assert pickle.loads(pickle.dumps(store)).uri == store.uri


def test_table_round_trip_with_the_hash_of_its_bytes(store: Store) -> None:
    entry = store.write_table("t.arrow", SCHEMA, [batch(1, 2), batch(3)])
    data = store.read_bytes("t.arrow")
    assert (entry.rows, entry.bytes) == (3, len(data))
    assert entry.sha256 == hashlib.sha256(data).hexdigest()
    assert store.read_table("t.arrow")["x"].to_pylist() == [1, 2, 3]
    assert store.read_table("t.arrow", ["s"]).column_names == ["s"]
    with store.open_table("t.arrow") as reader:
        assert reader.num_record_batches == 2


def test_a_failing_write_leaves_nothing(store: Store) -> None:
    def batches():  # type: ignore[no-untyped-def]
        yield batch(1)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        store.write_table("d/t.arrow", SCHEMA, batches())
    assert list((Path(store.uri) / "d").iterdir()) == []


def test_unfinished_files_of_a_dead_process_are_not_listed(store: Store) -> None:
    store.write_bytes("d/x", b"1")
    (Path(store.uri) / "d" / ".partial-x-dead").write_bytes(b"half")
    assert store.list_files("d") == ["d/x"]
    store.delete_unfinished("d")
    assert [path.name for path in (Path(store.uri) / "d").iterdir()] == ["x"]


def test_unwritable_and_unknown_stores(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        Store(str(tmp_path / "file" / "below")).check_writable()
    with pytest.raises(UserError, match="cannot be opened"):
        Store("nosuch://x/y").check_writable()


def test_a_store_that_is_not_local_copies_folders(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_bytes("c/one", b"1")
    store.write_bytes("c/sub/two", b"2")
    monkeypatch.setattr(Store, "is_local", property(lambda self: False))
    with store.local_folder("c") as folder:
        assert folder != Path(store.path("c"))
        assert (folder / "one").read_bytes() == b"1"
        assert (folder / "sub" / "two").read_bytes() == b"2"
    assert not folder.exists()
    with store.local_folder("c", lambda name: name.startswith("sub/")) as folder:
        assert [path.name for path in folder.rglob("*") if path.is_file()] == ["two"]


def test_remote_writes_are_published_on_close(
    monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    store.fs.create_dir(store.path())
    monkeypatch.setattr(Store, "is_local", property(lambda self: False))
    store.write_table("t.arrow", SCHEMA, [batch(5)])
    assert isinstance(store.fs, pafs.FileSystem)
    assert store.read_table("t.arrow")["x"].to_pylist() == [5]
