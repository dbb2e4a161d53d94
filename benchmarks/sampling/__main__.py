"""What orders of files bring together, and how fast files are ordered.

    python -m benchmarks.sampling [--store FOLDER] [--run NAME] [--sizes 1,3,10] [--out FOLDER]

Takes the files and edges of a finished run and orders them in this process, on one core: by the
paper's mix of strategies and, for comparison, at random, in dependency order and in the order of
folders. Writes ``sampling.json`` and two plots. Then the whole corpus is taken for one repository,
and growing shares of it are ordered: processor seconds should grow as the bytes do.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sampling.corpus import Part, one_repository, read_parts
from rich.console import Console
from rich.table import Table

from treespan.jobs.report.plots import grouped_plot
from treespan.jobs.report.sampling import dependency_row, similarity_plot
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.holdout import Holdout
from treespan.jobs.sample.partition import Sampled, sample_partition
from treespan.jobs.sample.statistics import MEASURES, Sums, add_sums, statistics
from treespan.jobs.sample.step import make_mix
from treespan.jobs.sample.terms import TermCounter
from treespan.platform.store import Store

MIXES: Mapping[str, Mapping[str, float]] = {
    "paper": {"content": 0.3, "path": 0.3, "dependency": 0.3, "random": 0.1},
    "random": {"random": 1.0},
    "topological": {"topological": 1.0},
    "repository": {"repository": 1.0},
}
"""Orders to compare, as ``sample.strategies`` in a recipe."""

NO_HOLDOUT = Holdout(0, 0.0)


def order(part: Part, strategies: Mapping[str, float]) -> tuple[Sampled, float]:
    """The documents of ``part``, and the processor seconds that they took, statistics included."""
    config = SampleConfig(strategies=dict(strategies))
    started = time.process_time()
    sampled = sample_partition(*part, config, make_mix(config), NO_HOLDOUT)
    return sampled, time.process_time() - started


def compare(parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """By mix: the statistics as the step counts them, MB, and MB per processor second."""
    found = {}
    for name, strategies in MIXES.items():
        ours: Sums = {}
        shuffled: Sums = {}
        seconds = megabytes = 0.0
        for part in parts:
            sampled, took_s = order(part, strategies)
            ours = add_sums((ours, sampled.sums))
            shuffled = add_sums((shuffled, sampled.random_sums))
            seconds += took_s
            megabytes += sampled.bytes.total() / 1e6
        found[name] = {
            "statistics": statistics(ours, shuffled),
            "mb": megabytes,
            "mb_per_core_s": megabytes / seconds,
        }
    return found


def growth(parts: Sequence[Part], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Files, MB and processor seconds of one repository of each size; the largest is the corpus."""
    results = []
    for size in sizes:
        part = one_repository(parts, size / max(sizes))
        sampled, took_s = order(part, MIXES["paper"])
        megabytes = sampled.bytes.total() / 1e6
        results.append({"size": size, "files": part[0].num_rows, "mb": megabytes, "cpu_s": took_s})
    return results


def mixes_plot(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Each mix beside the others, as SVG: what stands in one document with what."""
    series = {}
    for name, result in found.items():
        counted = result["statistics"]["dependencies"]
        series[name] = [
            counted["within"] / counted["edges"],
            counted["callee_first"] / counted["edges"],
            *(result["statistics"][f"{measure}_all"] for measure in MEASURES[:2]),
        ]
    groups = ["dependencies\nin one document", "and the used\nbefore the using"]
    groups += ["content,\nwhole document", "content,\nfile before"]
    return grouped_plot(groups, series, "share, mean cosine")


def show(found: Mapping[str, Any], grown: Sequence[Mapping[str, Any]], console: Console) -> None:
    """The tables."""
    table = Table(title="orders of files", title_justify="left")
    table.add_column("order", no_wrap=True)
    for heading in ("MB/s", "edges", "within", "used first", "content", "before", "folders"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, result in found.items():
        counted = result["statistics"]
        _, edges, within, first = dependency_row(name, counted["dependencies"])
        alike = (f"{counted[f'{measure}_all']:.3f}" for measure in MEASURES)
        table.add_row(name, f"{result['mb_per_core_s']:.1f}", f"{edges:,}", within, first, *alike)
    console.print(table)
    table = Table(title="one repository that grows", title_justify="left")
    for heading in ("size", "files", "MB", "CPU s", "MB per CPU s"):
        table.add_column(heading, justify="right")
    for one in grown:
        speed = one["mb"] / one["cpu_s"]
        cells = f"{one['files']:,}", f"{one['mb']:.1f}", f"{one['cpu_s']:.2f}", f"{speed:.1f}"
        table.add_row(str(one["size"]), *cells)
    console.print(table)


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--store", default="out", help="of a finished run")
    parser.add_argument("--run", help="its name; the newest that has a graph by default")
    parser.add_argument("--sizes", default="1,3,10", help="of the one repository, with commas")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), help="for the results")
    arguments = parser.parse_args(given)
    parts = read_parts(Store(arguments.store), arguments.run)
    TermCounter().count(b"compiled before the clock runs")
    found = compare(parts)
    grown = growth(parts, sorted({int(size) for size in arguments.sizes.split(",")}))
    show(found, grown, Console())
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = json.dumps({"orders": found, "growth": grown}, indent=1)
    (arguments.out / "sampling.json").write_text(results)
    plots = {
        "sampling-strategies.svg": similarity_plot(found["paper"]["statistics"]),
        "sampling-orders.svg": mixes_plot(found),
    }
    for name, svg in plots.items():
        (arguments.out / name).write_text(svg)


if __name__ == "__main__":
    main()
