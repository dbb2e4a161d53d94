"""Figures as event files for TensorBoard, written by tensorboardX, which Ray Train brings along."""

from __future__ import annotations

import os
from collections.abc import Mapping

from tensorboardX import SummaryWriter

from treespan.jobs.train.metrics.figures import Figure
from treespan.jobs.train.metrics.throughput import RunFacts

_FLUSH_S = 30


class TensorBoardWriter:
    """A folder for each run, below ``folder``."""

    def __init__(self, folder: str, run: RunFacts, first_step: int) -> None:
        # ``purge_step``: what a killed process wrote of later steps is dropped by TensorBoard. The
        # suffix: names have no more than the second, and a file of the same name is overwritten.
        self._events = SummaryWriter(
            f"{folder.rstrip('/')}/{run.run_name}",
            purge_step=first_step,
            flush_secs=_FLUSH_S,
            filename_suffix=f".{os.getpid()}-{first_step}",
        )

    def write(self, step: int, figures: Mapping[Figure, float]) -> None:
        """One scalar each."""
        for figure, value in figures.items():
            self._events.add_scalar(figure.path, value, step)

    def close(self) -> None:
        """Write what is buffered."""
        self._events.close()
