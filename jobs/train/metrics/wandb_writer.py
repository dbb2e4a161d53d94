"""Figures for Weights & Biases. The key comes from the environment and is seen by wandb alone."""

from __future__ import annotations

from collections.abc import Mapping

from treespan.jobs.train.metrics.figures import Figure
from treespan.jobs.train.metrics.throughput import RunFacts

_STEP = "train_step"


class WandbWriter:
    """A run of ``project``; one that goes on after a restart is the same run."""

    def __init__(self, project: str, run: RunFacts, first_step: int) -> None:
        import wandb

        # Neither code nor the output of the process leaves it.
        quiet = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, save_code=False
        )
        self._run = wandb.init(
            project=project,
            id=run.run_name,
            name=run.run_name,
            resume="allow",
            config=dict(run.settings),
            allow_val_change=True,  # a run may go on with other settings of how it is carried out
            settings=quiet,
        )
        # An axis of our own may go back, as after a roll-back; that of wandb may not.
        self._run.define_metric(_STEP)
        self._run.define_metric("*", step_metric=_STEP)

    def write(self, step: int, figures: Mapping[Figure, float]) -> None:
        """All at once."""
        values = {figure.path: value for figure, value in figures.items()}
        self._run.log({_STEP: step, **values})

    def close(self) -> None:
        """Wait until all is sent; offline, until it is on disk."""
        self._run.finish()
