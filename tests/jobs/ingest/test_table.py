import gzip
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from treespan.jobs.ingest import table as table_module
from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.step import fingerprint, list_repositories, make_step
from treespan.platform.config import build
from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.steps import Output, execute
from treespan.platform.store import Store

Ingest = Callable[..., Any]

ROWS = [
    {"repo": "b/y", "path": "src/a.py", "content": "x = 1\n", "licence": "mit", "stars": 7},
    {"repo": "a/x", "path": "a.py", "content": "y = 1\n", "licence": None, "stars": None},
    {"repo": "b/y", "path": "test_a.py", "content": "z = 1\n", "licence": "ISC", "stars": 9},
]
V1 = {
    "hexsha": "0",
    "lang": "Python",
    "content": "x = 1\n",
    "max_stars_repo_name": "o/tool",
    "max_stars_repo_path": "src/a.py",
    "max_stars_repo_head_hexsha": "abc",
    "max_stars_repo_licenses": ["MIT", "Apache-2.0"],
    "max_stars_count": 191.0,
}
V2 = {
    "blob_id": "b10b",
    "repo_name": "o/tool",
    "path": "/src/a.py",
    "revision_id": "def",
    "detected_licenses": ["BSD-3-Clause"],
    "star_events_count": 5,
    "src_encoding": "UTF-8",
    "length_bytes": 6,
}


def parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.suffix == ".zst":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(data)
        data = bytes(sink.getvalue())
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def source(path: Path | str, **more: Any) -> dict[str, Any]:
    return {"kind": "table", "path": str(path), **more}


def list_them(path: Path | str, **more: Any) -> Any:
    return list_repositories(IngestConfig.model_validate({"sources": [source(path, **more)]}))


@pytest.mark.parametrize("name", ["t.parquet", "t.jsonl", "t.jsonl.gz", "t.jsonl.zst"])
@pytest.mark.parametrize("window_bytes", [1, 1 << 20])
def test_rows_become_repositories(
    name: str, window_bytes: int, tmp_path: Path, ingest: Ingest
) -> None:
    write = parquet if name.endswith("parquet") else jsonl
    file = write(tmp_path / name, ROWS)
    rows, decisions = ingest(source(file, window_bytes=window_bytes))
    assert decisions == []
    kept = ("repo", "path", "content", "licence", "stars", "test_files", "source")
    assert [tuple(row[column] for column in kept) for row in rows] == [
        ("a/x", "a.py", "y = 1\n", "", -1, 0, "table"),
        ("b/y", "src/a.py", "x = 1\n", "MIT", 9, 1, "table"),
        ("b/y", "test_a.py", "z = 1\n", "ISC", 9, 1, "table"),
    ]


def test_the_stack_v1(tmp_path: Path, ingest: Ingest) -> None:
    own = {**V1, "content": "# SPDX-License-Identifier: ISC\n", "max_stars_repo_path": "b.py"}
    file = parquet(tmp_path / "data" / "python" / "train-0.parquet", [V1, own])
    rows, _ = ingest(source(file.parents[1], layout="the-stack-v1"))
    found = [(r["repo"], r["commit"], r["path"], r["licence"], r["stars"]) for r in rows]
    assert found == [
        ("o/tool", "abc", "b.py", "ISC", 191),
        ("o/tool", "abc", "src/a.py", "Apache-2.0 AND MIT", 191),
    ]


@pytest.mark.parametrize("compression", ["gzip", "none"])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_stack_v2(compression: str, scheme: str, tmp_path: Path, ingest: Ingest) -> None:
    pack = gzip.compress if compression == "gzip" else bytes
    blobs = tmp_path / "content"
    blobs.mkdir()
    (blobs / "b10b").write_bytes(pack(b"x = 1\n"))
    (blobs / "1a71").write_bytes(pack("# ä\n".encode("latin-1")))
    (blobs / "31de").write_bytes(pack("# ä\n".encode("utf-16-le")))
    (blobs / "b0b0").write_bytes(pack(b"x" * 5000))
    (blobs / "secret.txt").write_bytes(pack(b"outside"))
    extra = [
        {"blob_id": "1a71", "path": "/latin.py", "src_encoding": "ISO-8859-1"},
        {"blob_id": "b0b0", "path": "/lies.py"},
        {"blob_id": "none", "path": "/told-large.py", "length_bytes": 5000},
        {"blob_id": "gone", "path": "/gone.py"},
        {"blob_id": "../content/secret.txt", "path": "/traversal.py"},
        {"blob_id": "b10b", "path": "/odd.py", "src_encoding": "klingon"},
        {"blob_id": "31de", "path": "/wider.py", "src_encoding": "UTF-16LE"},
    ]
    file = parquet(tmp_path / "t.parquet", [V2] + [{**V2, **row} for row in extra])
    store = f"{scheme}{blobs}/{{blob_id}}"
    rows, decisions = ingest(
        source(file, layout="the-stack-v2", content_store=store, content_compression=compression),
        max_file_bytes=4000,
    )
    assert [(r["path"], r["content"], r["licence"], r["stars"], r["commit"]) for r in rows] == [
        ("latin.py", "# ä\n", "BSD-3-Clause", 5, "def"),
        ("odd.py", "x = 1\n", "BSD-3-Clause", 5, "def"),
        ("src/a.py", "x = 1\n", "BSD-3-Clause", 5, "def"),
        ("wider.py", "# ä\n", "BSD-3-Clause", 5, "def"),
    ]
    edits = {row["path"]: row["detail"] for row in decisions if row["action"] == "edit"}
    assert edits == {"latin.py": "from iso-8859-1", "wider.py": "from utf-16le"}
    assert {row["path"]: row["rule"] for row in decisions if row["action"] == "drop"} == {
        "lies.py": "oversize",
        "told-large.py": "oversize",
        "gone.py": "unreadable",
        "traversal.py": "unreadable",
    }


def test_rows_that_are_no_files_are_told(tmp_path: Path, ingest: Ingest) -> None:
    bad = [
        {"repo": None, "path": "lost.py", "content": "x"},
        {"repo": "r", "path": "../up.py", "content": "x"},
        {"repo": "r", "path": None, "content": "x"},
        {"repo": "r", "path": "null.py", "content": None},
        {"repo": "r", "path": "nul.py", "content": "a\0b"},
        {"repo": "r", "path": "half.py", "content": "\ud800"},
        {"repo": "r", "path": "big.py", "content": "x" * 5000},
        {"repo": "r", "path": "a.py", "content": "first"},
        {"repo": "r", "path": "a.py", "content": "second"},
    ]
    rows, decisions = ingest(source(jsonl(tmp_path / "t.jsonl", bad)), max_file_bytes=4000)
    assert [row["content"] for row in rows] == ["first"]
    assert {(row["repo"], row["path"]): row["rule"] for row in decisions} == {
        ("(no repository)", "lost.py"): "no-repository",
        ("r", "../up.py"): "archive-path",
        ("r", ""): "archive-path",
        ("r", "null.py"): "unreadable",
        ("r", "nul.py"): "binary",
        ("r", "half.py"): "encoding",
        ("r", "big.py"): "oversize",
        ("r", "a.py"): "table-duplicate",
    }


def test_bytes_and_other_column_names(tmp_path: Path, ingest: Ingest) -> None:
    renamed = [{"project": 5, "file": "a.py", "code": b"x = 1\n", "lic": "MIT"}]
    file = parquet(tmp_path / "t.parquet", renamed)
    columns = {"repo": "project", "path": "file", "content": "code", "licence": "lic"}
    rows, _ = ingest(source(file, columns=columns))
    assert [(row["repo"], row["content"], row["licence"]) for row in rows] == [
        ("5", "x = 1\n", "MIT")
    ]
    given, _ = ingest(source(file, columns=columns, licence="ISC"))
    assert [row["licence"] for row in given] == ["ISC"]


@pytest.mark.parametrize(
    ("value", "licence"),
    [
        (["MIT"], "MIT"),
        ([], ""),
        ("", ""),
        (["MIT", "our own words"], "NOASSERTION"),
        (["MIT OR ISC", "Zlib"], "(MIT OR ISC) AND Zlib"),
    ],
)
def test_licence_columns(value: Any, licence: str) -> None:
    assert table_module.stated_licence(value) == licence


def test_each_window_reads_only_its_row_groups(
    tmp_path: Path, ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [
        {"repo": f"r{number // 10:03}", "path": f"{number}.py", "content": f"x = {number}\n"}
        for number in range(1000)
    ]
    file = parquet(tmp_path / "t.parquet", many, row_group_size=50)
    read: list[int] = []

    def counting(location: Any, groups: Any, *rest: Any) -> Any:
        read.append(len(groups))
        return original(location, groups, *rest)

    original = table_module.read_rows
    monkeypatch.setattr(table_module, "read_rows", counting)
    rows, _ = ingest(source(file, window_bytes=5_000), partitions=1)
    assert len(rows) == 1000
    assert len(read) > 5
    assert sum(read) <= 20 + len(read)
    shuffled, _ = ingest(source(parquet(tmp_path / "s.parquet", many[::-1])), partitions=3)
    key = ("repo", "path")
    assert sorted(shuffled, key=lambda r: [r[k] for k in key]) == sorted(
        rows, key=lambda r: [r[k] for k in key]
    )
    assert table_module.load.cache_info().currsize == 0


def test_folders_globs_and_the_fingerprint(tmp_path: Path, ingest: Ingest) -> None:
    parquet(tmp_path / "deep" / "a.parquet", ROWS[:1])
    jsonl(tmp_path / "b.jsonl", ROWS[1:])
    (tmp_path / "README.md").write_text("no table")
    assert len(ingest(source(tmp_path))[0]) == 3
    assert len(ingest(source(f"{tmp_path}/*.jsonl"))[0]) == 2
    assert len(ingest(source(f"file://{tmp_path}/*.jsonl"))[0]) == 2
    config = IngestConfig.model_validate({"sources": [source(tmp_path)]})
    before = fingerprint(config)
    assert fingerprint(config) == before
    jsonl(tmp_path / "b.jsonl", ROWS)
    assert fingerprint(config) != before


def test_a_damaged_page_stops_nothing(tmp_path: Path, ingest: Ingest) -> None:
    file = parquet(tmp_path / "bad.parquet", ROWS, compression="none", use_dictionary=False)
    listed = list_them(file)
    file.write_bytes(file.read_bytes()[:50])
    from treespan.jobs.ingest.read import read_repository

    decisions: list[Any] = []
    for repository in listed:
        config = IngestConfig.model_validate({"sources": [source(file)]})
        assert list(read_repository(repository, config, decisions)) == []
    assert [(row["repo"], row["rule"]) for row in decisions] == [
        ("a/x", "repository-error"),
        ("b/y", "repository-error"),
    ]


def test_wrong_tables_say_what_and_how(tmp_path: Path) -> None:
    file = parquet(tmp_path / "t.parquet", [{"repos": "a", "path": "b", "content": "c"}])
    with pytest.raises(UserError, match=r"no column 'repo'.*nearest is 'repos'.*columns\.repo"):
        list_them(file)
    with pytest.raises(UserError, match=r"no column 'lic'.*columns\.licence"):
        list_them(file, columns={"repo": "repos", "licence": "lic"})
    v2 = parquet(tmp_path / "v2.parquet", [V2])
    with pytest.raises(UserError, match=r"no column 'content'.*give content_store"):
        list_them(v2, layout="the-stack-v2")
    with pytest.raises(UserError, match=r"no column with ids.*columns\.blob_id"):
        list_them(file, columns={"repo": "repos"}, content_store="/x/{blob_id}")
    with pytest.raises(UserError, match="does not exist"):
        list_them(tmp_path / "none.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is empty"):
        list_them(tmp_path / "empty")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        list_them(tmp_path / "bad.parquet")
    (tmp_path / "bad.jsonl").write_text(json.dumps(ROWS[0]) + "\n{oops\n")
    with pytest.raises(UserError, match=r"cannot be read at line 2"):
        list_them(tmp_path / "bad.jsonl")
    with pytest.raises(UserError, match=r"must contain \{blob_id\}"):
        build(IngestConfig, {"sources": [source(v2, content_store="/x")]}, where="r.yaml")
    with pytest.raises(UserError, match=r"unknown key 'sources.0.columns.repos'.*'repo'"):
        build(IngestConfig, {"sources": [source(v2, columns={"repos": "x"})]}, where="r.yaml")


def test_a_text_that_is_repeated_is_held_once(tmp_path: Path, ingest: Ingest) -> None:
    """Some kilobytes of Parquet that would be half a gigabyte as texts of their own."""
    text = "x = 1\n" * 700_000
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array([text]))
    paths = [f"{number}.py" for number in range(100)]
    table = pa.table({"repo": ["r"] * 100, "path": paths, "content": repeated})
    options = {"dictionary_pagesize_limit": 1 << 30, "store_schema": False}
    pq.write_table(table, tmp_path / "t.parquet", **options)
    tracemalloc.start()
    rows, decisions = ingest(source(tmp_path / "t.parquet"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (rows, len(decisions)) == ([], 100)
    assert {(row["rule"], row["size"]) for row in decisions} == {("oversize", len(text))}
    assert peak < 10 * len(text)


def test_equal_texts_of_many_repositories(tmp_path: Path, ingest: Ingest) -> None:
    text = "".join(f"name_{n} = {n}\n" for n in range(1000))
    some = [{"repo": f"r{n}", "path": "a.py", "content": text} for n in range(2000)]
    rows, _ = ingest(source(parquet(tmp_path / "t.parquet", some)), partitions=1)
    assert {row["content"] for row in rows} == {text}
    assert [row["repo"] for row in rows] == sorted(row["repo"] for row in some)


@pytest.mark.ray
def test_archives_and_tables_through_ray(tmp_path: Path, ray_cluster: None) -> None:
    parquet(tmp_path / "in" / "t.parquet", ROWS, row_group_size=1)
    with zipfile.ZipFile(tmp_path / "in" / "tool-1.0.zip", "w") as archive:
        archive.writestr("tool-1.0/a.py", "x = 1\n")
        archive.writestr("../up.py", "x = 1\n")
    archives = {"kind": "archive", "path": str(tmp_path / "in"), "each_file": True}

    def run(partitions: int) -> Output:
        sources = [archives, source(tmp_path / "in", window_bytes=1)]
        config = IngestConfig.model_validate({"sources": sources, "partitions": partitions})
        return execute(make_step(config), Store(str(tmp_path)), {}, Progress(quiet=True))

    output = run(2)
    assert output.counts["repositories"] == 3
    assert output.counts["files"] == 4
    tables = [output.store.read_table(part) for part in output.files("files")]
    found = pa.concat_tables(tables).select(["repo", "commit", "path", "stars"]).to_pylist()
    assert sorted(tuple(row.values()) for row in found) == [
        ("a/x", "", "a.py", -1),
        ("b/y", "", "src/a.py", 9),
        ("b/y", "", "test_a.py", 9),
        ("tool", "1.0", "a.py", -1),
    ]
    assert sum(output.counts["funnel"]["archive-path"].values()) == 1
