"""Time and peak memory of ingest and curation on sources that are hard by their size or shape.

    python benchmarks/hostile_input.py [CASE ...] [--scale S]

Every case is a run of its own on a local Ray of two CPUs, in a process of its own. Printed are the
seconds of the two steps (Ray's start not counted), the peak memory of the driver, and that of the
largest worker; ``--scale 0.1`` makes all cases a tenth as large. The folder for temporary files
must be on a file system that has sparse files.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from treespan.jobs.pipeline import run_recipe
from treespan.jobs.recipe import Recipe
from treespan.platform.progress import Progress
from treespan.platform.ray_session import RayConfig, ray_session
from treespan.platform.store import Store

TEXT = (
    "def area_{n}(width, height):\n    '''The area of a rectangle.'''\n    return width * height\n"
)


def tiny_files(base: Path, scale: float) -> dict[str, Any]:
    """A repository of 100,000 files of 80 bytes."""
    for number in range(int(100_000 * scale)):
        folder = base / "tiny" / f"{number // 1000:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.py").write_text(TEXT.format(n=number))
    return {"kind": "directory", "path": str(base / "tiny")}


def one_folder(base: Path, scale: float) -> dict[str, Any]:
    """The same without subfolders."""
    (base / "flat").mkdir()
    for number in range(int(100_000 * scale)):
        (base / "flat" / f"{number}.py").write_text(TEXT.format(n=number))
    return {"kind": "directory", "path": str(base / "flat")}


def two_gigabytes(base: Path, scale: float) -> dict[str, Any]:
    """A file of 2 GB in a tar, beside a small one."""
    large = base / "large.py"
    with open(large, "wb") as file:
        file.truncate(int((2 << 30) * scale) - (1 << 20))
    small = base / "small.py"
    small.write_text(TEXT.format(n=0))
    with tarfile.open(base / "large.tar", "w") as archive:
        archive.add(large, "large.py")
        archive.add(small, "small.py")
    return {"kind": "archive", "path": str(base / "large.tar")}


def identical_rows(base: Path, scale: float) -> dict[str, Any]:
    """A table with a million rows of one content, all of one repository."""
    rows = int(1_000_000 * scale)
    return _table(base, ["one"] * rows, [TEXT.format(n=0)] * rows)


def identical_repositories(base: Path, scale: float) -> dict[str, Any]:
    """A table with 100,000 repositories of one file, which all have."""
    rows = int(100_000 * scale)
    return _table(base, [f"r{n}" for n in range(rows)], [TEXT.format(n=0)] * rows)


def nested(base: Path, scale: float) -> dict[str, Any]:
    """A hundred files of 400,000 opening parentheses, with enough words to reach the parser."""
    (base / "nested").mkdir()
    (base / "nested" / "good.py").write_text(TEXT.format(n=0))
    opening = ("(" * 90 + "\n") * 4445
    for number in range(int(100 * scale)):
        names = "".join(f"name_{number}_{n} = {n}\n" for n in range(15_000))
        (base / "nested" / f"{number}.py").write_text(names + opening)
    return {"kind": "directory", "path": str(base / "nested")}


CASES: dict[str, Callable[[Path, float], dict[str, Any]]] = {
    case.__name__: case
    for case in (
        tiny_files,
        one_folder,
        two_gigabytes,
        identical_rows,
        identical_repositories,
        nested,
    )
}


def _table(base: Path, repos: list[str], contents: list[str]) -> dict[str, Any]:
    paths = [f"{number}.py" for number in range(len(repos))]
    table = pa.table({"repo": repos, "path": paths, "content": contents})
    pq.write_table(table, base / "table.parquet")
    return {"kind": "table", "path": str(base / "table.parquet")}


def run_case(case: str, folder: Path) -> str:
    """Curate the case in ``folder``; its line of the table."""
    source = json.loads((folder / "source.json").read_text()) | {"licence": "MIT"}
    recipe = Recipe.model_validate(
        {"name": "hostile", "ingest": {"sources": [source], "partitions": 4}}
    )
    store = Store(str(folder / "store"))
    with ray_session(RayConfig(num_cpus=2)):
        outputs = run_recipe(recipe, store, Progress(quiet=True), until="curate").outputs
        workers = max(peaks_of_workers(), default=0)
    seconds = [outputs[step].manifest["seconds"] for step in ("ingest", "curate")]
    driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    files = outputs["ingest"].counts["files"]
    kept = outputs["curate"].counts["output_files"]
    return (
        f"| {case} | {files:,} | {kept:,} | {seconds[0]:.1f} | {seconds[1]:.1f} "
        f"| {driver:,.0f} | {workers:,.0f} |"
    )


def peaks_of_workers() -> list[float]:
    """Peak resident memory, in MB, of all Ray workers of this machine that still live."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::"):
                status = (process / "status").read_text()
                peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
                found.append(int(peak.split()[1]) / 1e3)
        except (OSError, StopIteration):
            continue
    return found


def main() -> None:
    """Print one row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--make", help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        folder = Path(arguments.make)
        source = CASES[arguments.cases[0]](folder, arguments.scale)
        (folder / "source.json").write_text(json.dumps(source))
        return
    if arguments.run:
        print(run_case(arguments.cases[0], Path(arguments.run)))
        return
    print("| case | files | kept | ingest, s | curate, s | driver, MB | worker, MB |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for case in arguments.cases:
        with tempfile.TemporaryDirectory(prefix="treespan-hostile-") as base:
            # Processes of their own: what making a case takes is not what reading it takes.
            command = [sys.executable, __file__, case, "--scale", str(arguments.scale)]
            subprocess.run([*command, "--make", base], check=True)
            subprocess.run([*command, "--run", base], check=True)


if __name__ == "__main__":
    main()
