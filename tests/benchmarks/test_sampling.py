"""The benchmark of sampling: its one repository, and one run of it. No timing is judged."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from benchmarks.sampling import __main__ as benchmark
from benchmarks.sampling.corpus import ONE, Part, one_repository

from treespan.platform.run_record import write_run
from treespan.platform.schemas import EDGES, part_name
from treespan.platform.steps import Output
from treespan.platform.store import Store


@pytest.fixture
def part(root: Path) -> Part:
    """Our own modules, as files of two repositories; each file uses the next."""
    paths = sorted((root / "jobs" / "sample").glob("*.py"))
    files = [
        {
            "file_id": path.name,
            "repo": f"repo-{number % 2}",
            "path": path.name,
            "language": "Python",
            "content": path.read_text(),
            "size": path.stat().st_size,
        }
        for number, path in enumerate(paths)
    ]
    edges = [
        {"repo": a["repo"], "source_id": a["file_id"], "target_id": b["file_id"], "weight": 1.0}
        for a, b in zip(files, files[2:], strict=False)
    ]
    return pa.Table.from_pylist(files), pa.Table.from_pylist(edges, schema=EDGES)


def test_one_repository_of_many(part: Part) -> None:
    files, edges = one_repository([part, part], 1.0)
    assert (files.num_rows, edges.num_rows) == (2 * part[0].num_rows, 2 * part[1].num_rows)
    assert set(files["repo"].to_pylist()) == set(edges["repo"].to_pylist()) == {ONE}
    assert {path.split("/")[0] for path in files["path"].to_pylist()} == {"repo-0", "repo-1"}
    half, _ = one_repository([part], 0.1)
    assert 0 < half.num_rows < part[0].num_rows


def test_a_run_of_it(part: Part, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(str(tmp_path / "store"))
    steps = {}
    for step, folder, table in (("ingest", "files", part[0]), ("graph", "edges", part[1])):
        name = f"{folder}/{part_name(0)}"
        store.write_table(f"{step}/{name}", table.schema, table.to_batches())
        manifest = {"step": step, "files": [{"path": name}], "digest": step, "counts": {}}
        store.write_json(f"{step}/manifest.json", manifest)
        steps[step] = Output(store, step, manifest)
    write_run(store, "ours", steps, tuple(steps))
    out = tmp_path / "out"
    benchmark.main(["--store", str(tmp_path / "store"), "--sizes", "1,2", "--out", str(out)])
    assert "one repository that grows" in capsys.readouterr().out
    results = json.loads((out / "sampling.json").read_text())
    assert set(results["orders"]) == {"paper", "random", "topological", "repository"}
    topological = results["orders"]["topological"]["statistics"]["dependencies"]
    assert topological["callee_first"] == topological["within"]
    assert [one["size"] for one in results["growth"]] == [1, 2]
    assert all((out / f"sampling-{name}.svg").read_text() for name in ("strategies", "orders"))
