"""Treespan's pipeline on Ray: ingest of the table and curation of which only near dedup is on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from benchmarks.dedup.peers.exchange import FILES, Task, read_task, write_kept


def recipe(task: Task) -> dict[str, Any]:
    """A recipe in which nothing but near dedup drops a file."""
    limits = ("min_words", "max_bytes", "max_line_length", "max_mean_line_length")
    off = {"enabled": False}
    return {
        "name": "dedup",
        "ray": {"num_cpus": task.workers},
        "ingest": {
            "sources": [
                {"kind": "table", "path": str(task.tables / FILES), "licence": "Apache-2.0"}
            ],
            "partitions": 8,
        },
        "curate": {
            "kinds": ["programming", "markup", "data", "prose"],
            "rules": {
                **dict.fromkeys([*limits, "min_alphanumeric"]),
                **dict.fromkeys(["generated", "minified", "vendored"], False),
            },
            "near_dedup": {"threshold": task.threshold},
            "repository_dedup": off,
            "ranking": off,
            "syntax": off,
            "index": False,
        },
    }


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    path = task.out / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(task)))
    store = task.out / "store"
    command = [sys.executable, "-m", "treespan.platform.cli", "run", str(path)]
    subprocess.run([*command, "--step", "curate", "--store", str(store)], check=True)
    gone: set[tuple[str, str]] = set()
    for part in sorted(store.glob("steps/curate-*/ledger/*.arrow")):
        with pa.memory_map(str(part)) as source:
            ledger = pa.ipc.open_file(source).read_all().select(["repo", "path", "rule"])
        near = ledger.filter(pc.equal(ledger["rule"], "near-duplicate"))
        gone.update(zip(near["repo"].to_pylist(), near["path"].to_pylist(), strict=True))
    files = pq.read_table(task.tables / FILES, columns=["id", "repo", "path"]).to_pylist()
    write_kept(task.out, (f["id"] for f in files if (f["repo"], f["path"]) not in gone))


if __name__ == "__main__":
    main()
