"""The results as a table, as JSON, and as a curve."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

Result = Mapping[str, Any]

ROWS: tuple[tuple[str, Callable[[Result], str]], ...] = (
    ("files", lambda result: f"{result['files']:,}"),
    ("MB of text ingested", lambda result: f"{result['mb']:.1f}"),
    ("partitions", lambda result: str(result["partitions"])),
    ("wall s", lambda result: f"{result['wall_s']:.1f}"),
    ("CPU s of workers", lambda result: f"{result['worker_cpu_s']:.1f}"),
    ("CPU s with driver and engine", lambda result: f"{result['total_cpu_s']:.1f}"),
    ("MB per CPU s of workers", lambda result: f"{result['mb_per_core_s']:.2f}"),
    ("peak MB of a worker", lambda result: f"{result['worker_peak_mb']:.0f}"),
    ("of these not mapped files", lambda result: f"{result['worker_own_mb']:.0f}"),
    ("share of bytes kept", lambda result: f"{result['kept_share']:.1%}"),
)
"""Rows of the table. Mapped files are pages that the system takes back when it needs them."""


def show(results: Sequence[Result], console: Console) -> None:
    """The table, a column per size, and what grew by how much."""
    table = Table(title="curation by size of the corpus", title_justify="left")
    table.add_column("size")
    for result in results:
        table.add_column(str(result["size"]), justify="right")
    for step in results[0]["steps_s"]:
        seconds = (f"{result['steps_s'][step]:.1f}" for result in results)
        table.add_row(f"{step}, wall s", *seconds)
    for name, cell in ROWS:
        table.add_row(name, *(cell(result) for result in results))
    console.print(table)
    first = results[0]
    for result in results[1:]:
        grown = ", ".join(
            f"{name} x {result[key] / first[key]:.2f}"
            for name, key in (
                ("MB", "mb"),
                ("wall", "wall_s"),
                ("CPU of workers", "worker_cpu_s"),
                ("peak of a worker", "worker_peak_mb"),
                ("not mapped", "worker_own_mb"),
            )
        )
        # What a worker's start costs is in both, so the difference is without it.
        apart = (result["mb"] - first["mb"]) / (result["worker_cpu_s"] - first["worker_cpu_s"])
        console.print(
            f"{result['size']} to {first['size']}: {grown}; {apart:.2f} further MB per further CPU s",
            highlight=False,
        )


def save(results: Sequence[Result], out: Path) -> None:
    """``throughput.json`` and ``throughput.svg`` in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "throughput.json").write_text(json.dumps(results, indent=1) + "\n")
    curve(results).savefig(out / "throughput.svg")


def curve(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Rate per core and a worker's peak memory by size of the corpus."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, key, label in zip(
        figure.subplots(1, 2),
        ("mb_per_core_s", "worker_peak_mb"),
        ("MB/s per core", "peak memory of a worker, MB"),
        strict=True,
    ):
        axes.plot([row["mb"] for row in results], [row[key] for row in results], marker="o")
        axes.set(xscale="log", xlabel="corpus, MB", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    return figure
