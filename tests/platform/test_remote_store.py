"""The store behind the real clients of S3 and GCS, and a run in it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from treespan.jobs.pipeline import load_recipe, run_recipe
from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.store import Store

SCHEMA = pa.schema([("x", pa.int64())])


@pytest.fixture(params=["s3", "gs"])
def at(request: pytest.FixtureRequest) -> Callable[[str], str]:
    uri_of: Callable[[str], str] = request.getfixturevalue(request.param)
    return uri_of


def test_files_and_folders(at: Callable[[str], str]) -> None:
    store = Store(at("bucket/files"))
    assert not store.exists("")
    assert store.list_files("") == []
    store.delete_folder("none")
    store.check_writable()
    large = bytes(range(256)) * (11 << 12)  # in several parts
    for name, data in {"a/empty": b"", "a/b/c.gz": b"not gzip", "a/large": large}.items():
        assert store.write_bytes(name, data).bytes == len(data)
        assert store.read_bytes(name) == data
    assert store.list_files("a") == ["a/b/c.gz", "a/empty", "a/large"]
    assert Store(store.child("a")).list_files("b") == ["b/c.gz"]
    assert [store.exists(name) for name in ("a", "a/b", "a/b/c.gz", "a/b/c")] == [True] * 3 + [
        False
    ]
    with store.local_folder("a") as folder:
        assert (folder / "b" / "c.gz").read_bytes() == b"not gzip"
    store.delete_folder("a/b")
    assert store.list_files("") == ["a/empty", "a/large"]
    store.delete_folder("a")
    assert not store.exists("a")


def test_a_write_that_fails_leaves_nothing(at: Callable[[str], str]) -> None:
    def batches():  # type: ignore[no-untyped-def]
        yield pa.RecordBatch.from_pylist([{"x": 1}], schema=SCHEMA)
        raise RuntimeError("broken")

    store = Store(at("bucket/failing"))
    with pytest.raises(RuntimeError, match="broken"):
        store.write_table("d/t.arrow", SCHEMA, batches())
    assert store.list_files("d") == []


def test_a_bucket_that_is_not_there(s3: Callable[[str], str]) -> None:
    with pytest.raises(UserError, match=r"cannot be written.*bucket does not exist"):
        Store(s3("nosuchbucket/x")).check_writable()


@pytest.mark.ray
def test_a_run_is_the_same_as_on_a_local_disk(
    ray_cluster: None, s3: Callable[[str], str], tmp_path: Path
) -> None:
    remote = Store(s3("bucket/run"))
    for name in ("LICENSE", "one/a.py", "one/b.py", "two/a.py"):
        text = "MIT License" if name == "LICENSE" else f"def f(x, y):\n    return x  # {name}\n"
        Store(s3("bucket/code")).write_bytes(name, text.encode())
    recipe = tmp_path / "r.yaml"
    source = {"kind": "directory", "path": s3("bucket/code"), "licence": "MIT"}
    source["each_subfolder"] = True  # type: ignore[assignment]
    sections = {"ingest": {"partitions": 2, "sources": [source]}}
    recipe.write_text(yaml.safe_dump({"name": "r", **sections}))
    runs = [
        run_recipe(load_recipe(recipe), store, Progress(quiet=True), until="curate")
        for store in (remote, Store(str(tmp_path / "store")))
    ]
    digests = [{name: output.digest for name, output in run.outputs.items()} for run in runs]
    assert digests[0] == digests[1]
    assert runs[0].outputs["ingest"].counts["files"] == 3
    assert not [path for path in remote.list_files("") if "/work/" in path]
    again = run_recipe(load_recipe(recipe), remote, Progress(quiet=True), until="curate")
    assert again.ran == []
