"""Sources behind a real S3 API: each as its local twin, and what only an object store can hold."""

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.step import fingerprint, list_repositories
from treespan.platform.errors import UserError
from treespan.platform.store import Store

Ingest = Callable[..., Any]
S3 = Callable[[str], str]


def put(s3: S3, key: str, data: bytes) -> None:
    """As any other program would, with a name that Arrow's client would not write."""
    bare, _, options = s3(f"bucket/{key}").removeprefix("s3://").partition("?")
    host = options.partition("endpoint_override=")[2].partition("&")[0]
    assert httpx.put(f"http://{host}/{quote(bare)}", content=data).is_success


def upload(folder: Path, store: Store) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            store.write_bytes(str(path.relative_to(folder)), path.read_bytes())


@pytest.mark.parametrize("service", ["s3", "gs"])
def test_a_prefix_is_as_good_as_a_folder(
    service: str, folder: Path, ingest: Ingest, request: pytest.FixtureRequest
) -> None:
    at: S3 = request.getfixturevalue(service)
    (folder / "link.py").unlink()
    (folder / "packed.txt.gz").write_bytes(gzip.compress(b"not unpacked"))
    upload(folder, Store(at("bucket/as/project")))
    here = ingest({"kind": "directory", "path": str(folder)}, max_file_bytes=4000)
    there = ingest({"kind": "directory", "path": at("bucket/as/project")}, max_file_bytes=4000)
    assert here == there
    each = {"kind": "directory", "path": at("bucket/as/"), "each_subfolder": True}
    assert ingest(each, max_file_bytes=4000) == here


def test_names_that_are_no_paths_and_empty_folders(s3: S3, ingest: Ingest) -> None:
    names = ("a.py", "sub//b.py", "sub/é %20+.py", "nul/a\\b", "/lead.py", "marker/", ".git/x")
    for name in names:
        put(s3, f"odd/{name}", b"" if name.endswith("/") else b"x = 1\n")
    rows, decisions = ingest({"kind": "directory", "path": s3("bucket/odd")})
    assert [row["path"] for row in rows] == ["a.py", "nul/a\\b", "sub/é %20+.py"]
    assert {row["path"]: row["rule"] for row in decisions} == {
        "sub//b.py": "archive-path",
        "/lead.py": "archive-path",
    }
    put(s3, "many/loose.py", b"")
    put(s3, "many/one/a.py", b"x = 1\n")
    put(s3, "many//b.py", b"x = 1\n")
    rows, _ = ingest({"kind": "directory", "path": s3("bucket/many"), "each_subfolder": True})
    assert [(row["repo"], row["path"]) for row in rows] == [("one", "a.py")]


def test_the_fingerprint_follows_the_content(s3: S3) -> None:
    config = IngestConfig.model_validate(
        {"sources": [{"kind": "directory", "path": s3("bucket/changing")}]}
    )
    store = Store(s3("bucket/changing"))
    store.write_bytes("a.py", b"x = 1\n")
    before = fingerprint(config)
    assert fingerprint(config) == before
    store.write_bytes("a.py", b"x = 10\n")
    assert fingerprint(config) != before


def test_archives_and_tables(s3: S3, tmp_path: Path, ingest: Ingest) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("tool-1.0/a.py", "x = 1\n")
    put(s3, "archives/deep/tool-1.0.zip", buffer.getvalue())
    put(s3, "archives/readme.txt", b"no archive")
    rows, _ = ingest({"kind": "archive", "path": s3("bucket/archives"), "each_file": True})
    assert [(row["repo"], row["commit"], row["path"]) for row in rows] == [("tool", "1.0", "a.py")]

    table = pa.table({"repo": ["o/r", "o/s"], "path": ["a.py", "b.py"], "content": ["a\n", "b\n"]})
    pq.write_table(table, tmp_path / "t.parquet")
    put(s3, "tables/t-1.parquet", (tmp_path / "t.parquet").read_bytes())
    line = json.dumps({"repo": "o/t", "path": "c.py", "content": "c\n"}).encode()
    put(s3, "tables/t-2.jsonl.gz", gzip.compress(line))
    for path in ("bucket/tables", "bucket/tables/t-*"):
        rows, _ = ingest({"kind": "table", "path": s3(path)})
        assert [(row["repo"], row["content"]) for row in rows] == [
            ("o/r", "a\n"),
            ("o/s", "b\n"),
            ("o/t", "c\n"),
        ]

    put(s3, "blobs/abc", gzip.compress(b"from the store\n"))
    ids = {"repo": ["o/r"], "path": ["a.py"], "blob_id": ["abc"]}
    pq.write_table(pa.table(ids), tmp_path / "ids.parquet")
    store = s3("bucket/blobs/{blob_id}")
    columns = {"blob_id": "blob_id"}
    rows, _ = ingest(
        {
            "kind": "table",
            "path": str(tmp_path / "ids.parquet"),
            "columns": columns,
            "content_store": store,
        }
    )
    assert [row["content"] for row in rows] == ["from the store\n"]


def test_packages_are_read_from_a_remote_store(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(s3("bucket/with-packages"))
    with zipfile.ZipFile(tmp_path / "tool-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tool.py", "x = 1\n")
        metadata = "Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n"
        archive.writestr("tool-1.0.dist-info/METADATA", metadata)
        archive.writestr("tool-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    config = IngestConfig.model_validate({"sources": [{"kind": "package", "names": ["pypi:tool"]}]})
    (package,) = list_repositories(config, store)
    (tmp_path / "tool-1.0-py3-none-any.whl").unlink()
    assert list_repositories(config, store) == [package]
    rows = list(read_repository(pickle.loads(pickle.dumps(package)), config, []))
    assert "tool.py" in {row["path"] for row in rows}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"kind": "directory", "path": "bucket/none"}, "is empty"),
        ({"kind": "directory", "path": "nosuchbucket/x"}, "is empty|cannot be read"),
        ({"kind": "directory", "path": "bucket/wrong/file"}, "is not a folder"),
        ({"kind": "archive", "path": "bucket/none"}, "does not exist"),
        ({"kind": "table", "path": "bucket/none"}, "does not exist"),
        ({"kind": "git", "path": "bucket/x.git"}, "not on a local disk.*git clone --mirror"),
    ],
)
def test_wrong_uris_say_what_and_how(source: dict[str, str], problem: str, s3: S3) -> None:
    Store(s3("bucket/wrong")).write_bytes("file", b"x")
    config = IngestConfig.model_validate({"sources": [source | {"path": s3(source["path"])}]})
    with pytest.raises(UserError, match=problem):
        list_repositories(config)
