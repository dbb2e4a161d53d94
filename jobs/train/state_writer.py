"""Publishing training states while training goes on.

A save copies the worker's share to host memory, which is all that training waits for; a thread
writes it to the store. Should a save come while the one before is still being written, training
waits for it: two copies at once might not fit.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from treespan.jobs.train.run_state import RunState
from treespan.jobs.train.train_state import TrainStates, Values


class StateWriter:
    """Writes the states of one worker, in the order in which they were saved."""

    def __init__(
        self, states: TrainStates, rank: int, world: int, keep: int, reach_steps: int
    ) -> None:
        """``keep`` and ``reach_steps`` are those of ``TrainStates.keep_newest``."""
        self._states = states
        self._place = (rank, world)
        self._kept = (keep, reach_steps)
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._problem = ""

    def save(self, attempt: int, step: int, values: Sequence[Values], run: RunState) -> str:
        """Start writing; ``values`` and ``run`` must not change any more.

        Returns why the save before failed, "" if it did not. Older states are kept then.
        """
        problem = self.wait()
        first = self._place[0] == 0
        arguments = (attempt, step, values, run if first else None)
        self._thread = threading.Thread(
            target=self._write, args=arguments, name="train-state", daemon=True
        )
        self._thread.start()
        return problem

    def wait(self) -> str:
        """Until all is written: why that failed, "" if it did not.

        What is not the store's fault is raised here.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error
        return self._problem

    def _write(
        self, attempt: int, step: int, values: Sequence[Values], run: RunState | None
    ) -> None:
        try:
            if run is not None:
                # Now the state before this one is complete, or its worker has died.
                self._states.keep_newest(*self._kept)
            self._states.write_share(attempt, step, self._place, values, run)
            self._problem = ""
        except OSError as error:
            self._problem = str(error)
        except BaseException as error:  # noqa: BLE001 - raised where training waits for it
            self._error = error
