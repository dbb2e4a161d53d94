"""Between a worker's fragments and the training states in the store: saving, going on, turning back.

What is done here all workers do together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from treespan.jobs.train.collective import Collective
from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.ema import Ema
from treespan.jobs.train.fragments import QUANTITIES, WEIGHT, Fragment, Holding
from treespan.jobs.train.loss_model import HEAD_MODULES
from treespan.jobs.train.run_state import RunState
from treespan.jobs.train.state_writer import StateWriter
from treespan.jobs.train.train_state import (
    EMA,
    DamagedStateError,
    SavedState,
    TrainStates,
    Values,
)


class StateKeeper:
    """Keeps one worker's part of the training states, and the running mean of its weights."""

    def __init__(
        self,
        states: TrainStates,
        holding: Holding,
        config: TrainConfig,
        rank: int,
        together: Collective,
        say: Callable[[str], None],
    ) -> None:
        self._states, self._holding, self._together, self._say = states, holding, together, say
        self._is_first = rank == 0
        self._writer = StateWriter(
            states,
            rank,
            together.world,
            config.checkpoints.keep,
            config.anomalies.spike_steps,
        )
        self._decay = config.ema_decay
        self._ema = self._new_ema()
        self._attempt = 0

    def begin(self, start: Iterable[tuple[str, Tensor]]) -> RunState:
        """Go on from the newest intact state, or else from ``start``: what was done so far."""
        self._holding.install(start, zero=HEAD_MODULES)
        found = self._restore_newest(before=None)
        self._attempt = int(
            self._together.first(self._states.next_attempt() if self._is_first else 0)
        )
        return found or RunState()

    def take_in_update(self) -> None:
        """Weights were updated."""
        if self._ema is not None:
            owned = self._holding.owned
            self._ema.update({f.name: self._holding.view(f, WEIGHT) for f in owned})

    def save(self, run: RunState) -> None:
        """Copy this worker's share; it is published while training goes on."""
        values: list[Values] = []
        for fragment in self._holding.owned:
            for quantity in QUANTITIES:
                view = self._holding.view(fragment, quantity)
                values.append((fragment, quantity, view.detach().cpu().clone()))
        if self._ema is not None and self._ema.updates:
            mean = self._ema.mean
            values += [(f, EMA, mean[f.name].cpu().clone()) for f in self._holding.owned]
        self._tell(self._writer.save(self._attempt, len(run.history), values, run.copy()))

    def wait(self) -> None:
        """Until all that was saved is published."""
        self._tell(self._writer.wait())

    def turn_back(self, before: int) -> RunState | None:
        """Take up the newest intact state of a step before ``before``, and forget those after it.

        None, and nothing changed, if there is none.
        """
        self._writer.wait()
        self._together.barrier()
        found = self._restore_newest(before)
        if found is not None:
            self._attempt += 1
            self._together.barrier()
            if self._is_first:
                self._states.forget_after(len(found.history))
        return found

    def _tell(self, problem: str) -> None:
        """Say that a state could not be saved, on whichever worker."""
        if self._together.any(bool(problem)):
            why = problem or "another worker's share was not written"
            self._say(f"A training state could not be saved: {why}")

    def _restore_newest(self, before: int | None) -> RunState | None:
        """If a share is damaged, all workers take the state before."""
        found: list[SavedState] = []
        if self._is_first:
            found = [s for s in self._states.complete() if before is None or s.step < before]
        for state in self._together.first(found):
            run, problem = self._restore(state)
            if run is not None:
                return run
            self._say(f"A training state is damaged, so the one before is used: {problem}.")
        return None

    def _restore(self, state: SavedState) -> tuple[RunState | None, str]:
        """Load ``state`` on all workers, or on none and say what is wrong with it."""
        holding, problem = self._holding, ""
        values: list[Values] = []
        run = RunState()
        try:
            run = self._states.read_run(state)
            values = list(self._states.read(state, holding.fragments, QUANTITIES))
            if self._decay is not None and run.updates:
                values += self._states.read(state, holding.owned, [EMA])
        except DamagedStateError as error:
            problem = str(error)
        if self._together.any(bool(problem)):
            return None, problem or "another worker found it so"
        holding.make_moments(run.updates)
        for fragment, quantity, part in values:
            if quantity != EMA:
                holding.write(fragment, quantity, part)
        self._ema = self._new_ema()
        if self._ema is not None and run.updates:
            means = [(fragment, part) for fragment, quantity, part in values if quantity == EMA]
            self._ema.load_state_dict({"updates": run.updates, "mean": self._joined(means)})
        holding.commit()
        return run, ""

    def _joined(self, parts: Iterable[tuple[Fragment, Tensor]]) -> dict[str, Tensor]:
        """``parts`` of what this worker owns, as whole fragments where its weights are."""
        owned = {fragment.name: fragment for fragment in self._holding.owned}
        joined = {
            name: torch.empty_like(self._holding.view(fragment, WEIGHT))
            for name, fragment in owned.items()
        }
        for at, part in parts:
            start = at.start - owned[at.name].start
            joined[at.name].narrow(0, start, at.length).copy_(part)
        return joined

    def _new_ema(self) -> Ema | None:
        return None if self._decay is None else Ema(self._decay)
