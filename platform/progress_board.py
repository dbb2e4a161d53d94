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
        self._state: tuple[int, str, float | None] = (0, "", None)
        self._messages: list[str] = []

    def post(self, done: int, note: str, seconds_left: float | None = None) -> None:
        """Overwrite the state."""
        self._state = (done, note, seconds_left)

    def say(self, message: str) -> None:
        """A line for the person who watches, once."""
        self._messages.append(message)

    def read(self, heard: int = 0) -> tuple[tuple[int, str, float | None], list[str]]:
        """The state, and what was said after the first ``heard`` messages."""
        return self._state, self._messages[heard:]


@contextmanager
def watched_board(progress: Progress, label: str, total: int) -> Iterator[Any]:
    """A board whose state is shown as a bar for as long as the block runs."""
    board: Any = ray.remote(num_cpus=0)(ProgressBoard).remote()
    stop = threading.Event()

    def watch() -> None:
        shown = heard = 0
        stopped = False
        with progress.bar(label, total) as bar:
            while not stopped:
                stopped = stop.wait(_POLL_S)  # once more then, for what was said last
                try:
                    state, messages = ray.get(board.read.remote(heard), timeout=30)
                except ray.exceptions.RayError:
                    continue  # a busy or restarting cluster costs a look, not the work
                heard += len(messages)
                for message in messages:
                    progress.say(f"  {label}: {message}")
                done, note, seconds_left = state
                if done != shown:
                    bar.advance(done - shown, note, seconds_left)
                    shown = done

    watcher = threading.Thread(target=watch, name=f"progress-{label}", daemon=True)
    watcher.start()
    try:
        yield board
    finally:
        stop.set()
        watcher.join()
        ray.kill(board)
