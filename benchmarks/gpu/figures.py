"""Figures as stages find them, and the one table that shows them all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    stage: str
    what: str
    value: float | str
    unit: str = ""
    target: str = ""
    """What the value should be, in words; empty where it is only shown."""
    passed: bool | None = None
    """Whether it is so; None where there is no target."""


class Recorder:
    """Takes the figures of one stage and writes each at once, so that none is lost with it."""

    def __init__(self, stage: str, path: Path) -> None:
        self._stage = stage
        self._path = path

    def show(self, what: str, value: float | str, unit: str = "") -> None:
        """A figure without a target."""
        self._write(Figure(self._stage, what, value, unit))

    def at_most(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """A figure that passes if it is at most ``limit``; NaN never is."""
        figure = Figure(self._stage, what, value, unit, f"at most {limit:.3g}", value <= limit)
        self._write(figure)

    def at_least(self, what: str, value: float, limit: float, unit: str = "") -> None:
        """A figure that passes if it is at least ``limit``; NaN never is."""
        figure = Figure(self._stage, what, value, unit, f"at least {limit:.3g}", value >= limit)
        self._write(figure)

    def _write(self, figure: Figure) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(figure)) + "\n")


def read(path: Path) -> list[Figure]:
    """What a stage has written so far; a line that it was killed over is left out."""
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")
    return [Figure(**json.loads(line)) for line in lines]


def save(figures: Sequence[Figure], folder: Path, *, show: bool) -> None:
    """Write ``gpu.json`` and ``gpu.txt`` into ``folder``, and print the latter if it is wanted."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(figure) for figure in figures]
    (folder / "gpu.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    path = folder / "gpu.txt"
    with path.open("w", encoding="utf-8") as file:
        Console(file=file, width=160).print(_table(figures))
    if show:
        print(path.read_text(encoding="utf-8"))


def _table(figures: Sequence[Figure]) -> Table:
    table = Table(box=None)
    for heading in ("stage", "what", "value", "unit", "target", ""):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    verdicts = {True: "ok", False: "NOT MET", None: ""}
    for figure in figures:
        value = figure.value if isinstance(figure.value, str) else f"{figure.value:.4g}"
        table.add_row(
            figure.stage, figure.what, value, figure.unit, figure.target, verdicts[figure.passed]
        )
    return table
