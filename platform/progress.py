"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

LOG_INTERVAL_S = 10.0
"""Without a terminal, at most one line of progress in this time."""


@dataclass
class Bar:
    """One piece of long work; ``advance`` it as parts of it are done."""

    _progress: Progress
    label: str
    total: int
    _done: int = 0
    _task: int | None = None
    _logged_at: float = field(default_factory=time.monotonic)

    def advance(self, amount: int = 1, note: str = "") -> None:
        """``amount`` more parts are done; ``note`` says how it goes (a loss, a rate)."""
        self._done += amount
        self._progress._show(self, note)


class Progress:
    """Shows bars and one-line messages; ``quiet`` shows neither."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._bars: RichProgress | None = None
        if sys.stderr.isatty() and not quiet:
            self._bars = RichProgress(
                TextColumn("[bold]{task.description:<28}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, message: str) -> None:
        """One line, above the bars."""
        self.console.print(message, highlight=False, soft_wrap=True)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Bar]:
        """A bar for ``total`` parts of work."""
        bar = Bar(self, label, total)
        if self._bars is not None:
            bar._task = self._bars.add_task(label, total=total, note="")
        try:
            yield bar
        finally:
            if self._bars is not None and bar._task is not None:
                self._bars.remove_task(bar._task)  # type: ignore[arg-type]

    def _show(self, bar: Bar, note: str) -> None:
        if self._bars is not None and bar._task is not None:
            self._bars.update(bar._task, completed=bar._done, note=note)  # type: ignore[arg-type]
            return
        now = time.monotonic()
        if now - bar._logged_at >= LOG_INTERVAL_S:
            bar._logged_at = now
            self.say(f"  {bar.label}: {bar._done}/{bar.total} {note}".rstrip())
