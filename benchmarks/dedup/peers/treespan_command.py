"""Treespan's command for one table: ``treespan dedup``."""

from __future__ import annotations

import shutil
import subprocess
import sys

from benchmarks.dedup.peers.exchange import FILES, read_task


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    found = task.out / "found"
    command = [sys.executable, "-m", "treespan.platform.cli", "dedup", str(task.tables / FILES)]
    options = {"out": found, "threshold": task.threshold, "threads": task.workers}
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    subprocess.run([*command, "--json"], check=True)
    for name in ("kept.parquet", "pairs.parquet"):
        shutil.copyfile(found / name, task.out / name)


if __name__ == "__main__":
    main()
