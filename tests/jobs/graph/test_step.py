"""The step on Ray: tables as the contract has them, whatever the number of partitions."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from treespan.jobs.graph.config import GraphConfig
from treespan.jobs.graph.step import make_step
from treespan.platform.draws import hash64, partition_of
from treespan.platform.progress import Progress
from treespan.platform.schemas import EDGES, FILES, SYMBOLS, part_name
from treespan.platform.steps import Output, execute
from treespan.platform.store import Store

TEXTS = {"a.py": "import b\nb.helper()\n", "b.py": "def helper(): ...\n", "c.txt": "plain\n"}


def curated(store: Store, partitions: int) -> Output:
    tables: list[list[dict[str, Any]]] = [[] for _ in range(partitions)]
    for repo in ("one", "two", "three"):
        for path, text in TEXTS.items():
            tables[partition_of(repo, partitions)].append(
                {
                    "file_id": f"{hash64(repo, path):032x}",
                    "repo": repo,
                    "path": path,
                    "language": "Python" if path.endswith("py") else "Text",
                    "content": text,
                    "size": len(text),
                }
            )
    entries = []
    for number, rows in enumerate(tables):
        name = f"files/{part_name(number)}"
        batches = pa.Table.from_pylist(rows, schema=FILES).to_batches()
        store.write_table(f"curate/{name}", FILES, batches)
        entries.append({"path": name})
    return Output(store, "curate", {"digest": "x", "files": entries, "counts": {}})


@pytest.mark.ray
def test_the_step(ray_cluster: None, tmp_path: Path) -> None:
    tables = []
    for partitions in (1, 3):
        store = Store(str(tmp_path / str(partitions)))
        inputs = {"curate": curated(store, partitions)}
        output = execute(make_step(GraphConfig()), store, inputs, Progress(quiet=True))
        assert output.counts == {
            "repositories": 3,
            "files": 9,
            "symbols": 3,
            "unparsed": 0,
            "unresolvable": 0,
            "edges": {"import": 3, "use": 3},
            "imports": {"Python": {"imports": 3, "in_repository": 3, "resolved": 3}},
        }
        assert len(output.files("edges")) == len(output.files("symbols")) == partitions
        parts = [store.read_table(part) for part in output.files("edges")]
        assert all(part.schema.equals(EDGES) for part in parts)
        keys = [("repo", "ascending"), ("source_id", "ascending"), ("target_id", "ascending")]
        keys += [("kind", "ascending"), ("name", "ascending")]
        assert all(part.equals(part.sort_by(keys)) for part in parts)
        tables.append(pa.concat_tables(parts).sort_by(keys).to_pylist())
        symbols = [store.read_table(part) for part in output.files("symbols")]
        assert all(part.schema.equals(SYMBOLS) for part in symbols)
    assert tables[0] == tables[1]
    first = next(row for row in tables[0] if row["repo"] == "one" and row["kind"] == "use")
    assert (first["name"], round(first["weight"], 3), first["count"]) == ("helper", 0.6, 1)
    assert first["target_id"] == f"{hash64('one', 'b.py'):032x}"
