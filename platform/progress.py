"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

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

    def advance(self, amount: int = 1, note: str = "", seconds_left: float | None = None) -> None:
        """``amount`` more parts are done; ``note`` says how it goes (a loss, a rate).

        ``seconds_left`` is an estimate of whoever knows better than the rate of the last calls.
        """
        self._done += amount
        self._progress._show(self, note, seconds_left)


class _TimeLeft(ProgressColumn):
    """The estimate that came with the work, less the time since; without one, rich's own."""

    max_refresh = 0.5

    def __init__(self) -> None:
        super().__init__()
        self._by_rate = TimeRemainingColumn()

    def render(self, task: Task) -> RenderableType:
        """What ``rich`` asks for."""
        ends_at: float | None = task.fields["ends_at"]
        if ends_at is None:
            return self._by_rate(task)
        return Text(in_time(ends_at - time.monotonic()), style="progress.remaining")


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
                _TimeLeft(),
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
            bar._task = self._bars.add_task(label, total=total, note="", ends_at=None)
        try:
            yield bar
        finally:
            if self._bars is not None and bar._task is not None:
                self._bars.remove_task(bar._task)  # type: ignore[arg-type]

    def _show(self, bar: Bar, note: str, seconds_left: float | None) -> None:
        now = time.monotonic()
        if self._bars is not None and bar._task is not None:
            ends_at = None if seconds_left is None else now + seconds_left
            self._bars.update(bar._task, completed=bar._done, note=note, ends_at=ends_at)  # type: ignore[arg-type]
            return
        if now - bar._logged_at >= LOG_INTERVAL_S:
            bar._logged_at = now
            left = "" if seconds_left is None else f"  {in_time(seconds_left)}"
            self.say(f"  {bar.label}: {bar._done}/{bar.total} {note}{left}".rstrip())


def in_time(seconds: float) -> str:
    """``2 h 05 min left``, to two places."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s left"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min left"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min left"
    return f"{hours // 24} days {hours % 24} h left"
