"""data-juicer through its command ``dj-process``: its default mode, or its Ray mode with ``RAY=1``.

Bands by its own optimiser; it does not compare what met. It hands back the files that it keeps; for
the default mode ``data_juicer_clusters`` tells the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from benchmarks.dedup.peers.exchange import WORDS, Task, read_task, write_kept

SETTINGS: dict[str, Any] = {
    "tokenization": "space",
    "window_size": 5,
    "lowercase": False,
    "num_permutations": 256,
}


def recipe(task: Task, on_ray: bool) -> dict[str, Any]:
    """The recipe of a run that writes ``task.out / "kept"``."""
    operator = "ray_bts_minhash_deduplicator" if on_ray else "document_minhash_deduplicator"
    common = {
        "project_name": "dedup",
        "dataset_path": str(task.tables / WORDS),
        "np": task.workers,
        "text_keys": "text",
        "process": [{operator: {**SETTINGS, "jaccard_threshold": task.threshold}}],
    }
    if on_ray:
        export = {"export_path": str(task.out / "kept"), "export_type": "jsonl"}
        return common | export | {"executor_type": "ray", "ray_address": "local"}
    return common | {"export_path": str(task.out / "kept" / "kept.jsonl")}


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    path = task.out / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe(task, "RAY" in os.environ)))
    command = Path(sys.executable).with_name("dj-process")
    subprocess.run([str(command), "--config", str(path)], cwd=task.out, check=True)
    found = sorted(path for path in (task.out / "kept").glob("*.json*") if path.is_file())
    lines = (line for path in found for line in path.read_text().splitlines())
    write_kept(task.out, (json.loads(line)["id"] for line in lines))


if __name__ == "__main__":
    main()
