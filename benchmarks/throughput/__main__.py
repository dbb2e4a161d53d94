"""How fast a corpus is curated, and how time and memory grow with it.

    python -m benchmarks.throughput [--sizes 1,3,10] [--base-mb 40] [--recipe RECIPE]
        [--store FOLDER] [--benchmarks FOLDER] [--out FOLDER]

Runs ingest, curate and, with a folder of benchmarks, decontaminate on a local Ray of two CPUs, per
size in a process of its own. The corpus of size n is n variants of one base of real code (see
``variant_corpus``): what the sources of the recipe hold, or else this Python's standard library and
packages. The number of partitions grows with the corpus, as a recipe for a larger one would have it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput.one_size import CPUS
from benchmarks.throughput.show import save, show
from benchmarks.throughput.variant_corpus import BaseFile, read_base, write_copy
from rich.console import Console

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.ingest.config import IngestConfig, PythonEnvironmentSource
from treespan.jobs.recipe import load_recipe
from treespan.platform.store import Store

PARTITION_BYTES = 5_000_000
REPO_BYTES = 8_000_000
"""Of one repository in the base, so that it is not a few large packages."""


def plans(
    base: Sequence[BaseFile], sizes: Sequence[int], work: Path, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Write the copies below ``work``; what to measure, for each size."""
    made = [work / "copies" / str(copy) for copy in range(max(sizes))]
    written = [write_copy(list(base), copy, folder) for copy, folder in enumerate(made)]
    warm = work / "warm"
    write_copy([file for file in base if file.repo == base[0].repo], 0, warm)
    return [
        {
            "size": size,
            "copies": [str(folder) for folder in made[:size]],
            "partitions": max(CPUS, round(sum(written[:size]) / PARTITION_BYTES)),
            "warm": str(warm),
            "store": str(work / "store" / str(size)),
            **settings,
        }
        for size in sizes
    ]


def measure_apart(plan: Mapping[str, Any]) -> dict[str, Any]:
    """``measure`` in a process of its own; its store is removed."""
    command = [sys.executable, "-m", "benchmarks.throughput.one_size", json.dumps(plan)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    shutil.rmtree(plan["store"])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def parse_arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="1,3,10", help="copies of the base, with commas")
    parser.add_argument("--base-mb", type=float, default=40.0, help="MB of the base")
    parser.add_argument("--recipe", help="take sources and rules of this recipe")
    parser.add_argument("--store", default="out", help="where packages of the recipe are kept")
    parser.add_argument("--benchmarks", help="folder of benchmarks to decontaminate against")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), help="for the results")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> None:
    """Measure every size and report."""
    arguments = parse_arguments(given)
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    curating = CurateConfig()
    reading = IngestConfig(sources=(PythonEnvironmentSource(),))
    if arguments.recipe:
        recipe = load_recipe(arguments.recipe)
        reading, curating = recipe.ingest, recipe.curate
    reading = reading.model_copy(
        update={"max_repo_bytes": min(reading.max_repo_bytes or REPO_BYTES, REPO_BYTES)}
    )
    sizes = sorted({int(size) for size in arguments.sizes.split(",")})
    console = Console()
    with tempfile.TemporaryDirectory(prefix="treespan-bench-") as work:
        base = read_base(reading, int(arguments.base_mb * 1e6), Store(arguments.store))
        of_language: Counter[str] = Counter()
        for file in base:
            of_language[file.language] += len(file.text.encode())
        shown = (f"{name} {size / 1e6:.1f}" for name, size in of_language.most_common(12))
        console.print(f"base, MB: {', '.join(shown)}", highlight=False)
        settings = {"curate": curating.to_dict(), "benchmarks": arguments.benchmarks}
        results = [measure_apart(plan) for plan in plans(base, sizes, Path(work), settings)]
    show(results, console)
    save(results, arguments.out)


if __name__ == "__main__":
    main()
