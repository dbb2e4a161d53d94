"""Progress from inside Ray workers: a tiny actor that they post to and the driver reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from treespan.platform.progress import Progress

_POLL_S = 0.5


class ProgressBoard:
    """The latest number of done parts and a note on how it goes."""

    def __init__(self) -> None:
        self._state = (0, "")

    def post(self, done: int, note: str) -> None:
        """Overwrite the state."""
        self._state = (done, note)

    def read(self) -> tuple[int, str]:
        """The state."""
        return self._state


@contextmanager
def watched_board(progress: Progress, label: str, total: int) -> Iterator[Any]:
    """A board whose state is shown as a bar for as long as the block runs."""
    board: Any = ray.remote(num_cpus=0)(ProgressBoard).remote()
    stop = threading.Event()

    def watch() -> None:
        shown = 0
        with progress.bar(label, total) as bar:
            while not stop.wait(_POLL_S):
                try:
                    done, note = ray.get(board.read.remote(), timeout=30)
                except ray.exceptions.RayError:
                    continue  # a busy or restarting cluster costs a look, not the work
                if done != shown:
                    bar.advance(done - shown, note)
                    shown = done

    watcher = threading.Thread(target=watch, name=f"progress-{label}", daemon=True)
    watcher.start()
    try:
        yield board
    finally:
        stop.set()
        watcher.join()
        ray.kill(board)
