"""Sinks: where the figures of every step go, without ever holding up or ending the training."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from treespan.jobs.train.metrics.figures import Figure, figures_of
from treespan.jobs.train.metrics.throughput import RunFacts
from treespan.jobs.train.metrics.window import Window
from treespan.jobs.train.step_record import StepRecord, StepTiming
from treespan.platform.uri import masked

_WAITING = 1000
"""Points that a slow tracker may be behind; further ones are lost. A few megabytes at most."""
_PATIENCE_S = 60.0
"""How long the end of training waits for what is still to be sent."""
_SECRETS = ("WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class Sink(Protocol):
    """Takes every step of a run."""

    def record(self, record: StepRecord, timing: StepTiming) -> None:
        """One more step; returns at once, and never raises."""

    def close(self) -> None:
        """The last step was recorded; what is still to be sent is waited for, but not for ever."""


class Writer(Protocol):
    """Hands figures to one tracker; may block, and may raise whatever its library raises."""

    def write(self, step: int, figures: Mapping[Figure, float]) -> None:
        """The figures of one step."""

    def close(self) -> None:
        """Send what is still held back."""


class FigureSink:
    """Computes figures and passes them to a writer on a thread of its own.

    A writer that raises is left out from then on; that is said once, and training goes on. The
    thread is what keeps a tracker that is slow, or does not answer, from slowing training.
    """

    def __init__(
        self,
        name: str,
        open_writer: Callable[[int], Writer],
        facts: RunFacts,
        every_steps: int,
        say: Callable[[str], None],
    ) -> None:
        """``open_writer`` is called, on the thread, with the first step that there is to write."""
        self._name, self._open_writer, self._say = name, open_writer, say
        self._every_steps = every_steps
        self._window = Window(facts)
        self._failed = threading.Event()
        self._lost = 0
        self._queue: queue.Queue[tuple[int, Mapping[Figure, float]] | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._write, name=f"sink-{name}", daemon=True)
        self._thread.start()

    def record(self, record: StepRecord, timing: StepTiming) -> None:
        """Every so many steps; and besides those, the last step and every validation."""
        self._window.add(record, timing)
        done = record.step + 1
        wanted = done % self._every_steps == 0 or done == self._window.facts.total_steps
        if self._failed.is_set() or not (wanted or record.validation):
            return
        try:
            self._queue.put_nowait((record.step, figures_of(self._window)))
        except queue.Full:
            self._lost += 1
            if self._lost == 1:
                self._say(f"{self._name} is too slow: some steps will be missing there.")

    def close(self) -> None:
        """Wait for the writer, at most a minute."""
        if self._failed.is_set():
            return
        try:
            self._queue.put(None, timeout=_PATIENCE_S)
        except queue.Full:
            pass
        else:
            self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            self._say(f"{self._name} does not answer: its last steps were given up.")

    def _write(self) -> None:
        writer: Writer | None = None
        try:
            while (item := self._queue.get()) is not None:
                step, figures = item
                if writer is None:
                    writer = self._open_writer(step)
                writer.write(step, figures)
            if writer is not None:
                writer.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a tracker's library may raise it
            self._failed.set()
            self._say(f"{self._name} is left out from here on: {_in_short(error)}")


def _in_short(error: BaseException) -> str:
    """Kind and first line, without the keys that libraries like to repeat."""
    lines = str(error).strip().splitlines()
    said = masked(f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)
    for name in _SECRETS:
        if secret := os.environ.get(name):
            said = said.replace(secret, "***")
    return said
