"""The figures that go to trackers, each with what it means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from treespan.jobs.train.losses_table import overall
from treespan.jobs.train.metrics.window import Window
from treespan.platform.funnel import name_of
from treespan.platform.losses import KINDS

_OTHERS = re.compile(r"[^\w. -]", re.ASCII)


class Figure(NamedTuple):
    """What a value is of: a name of ``MEANINGS``, and which one where there are several."""

    name: str
    of: str = ""

    @property
    def path(self) -> str:
        """``loss_by_language/Cpp``: a name for trackers, in characters that all of them take."""
        if not self.of:
            return self.name
        spelt = self.of.replace("+", "p").replace("#", "-sharp")
        return f"{self.name}/{_OTHERS.sub('_', spelt)}"


@dataclass(frozen=True)
class Meaning:
    """What a figure is."""

    text: str
    label: str = ""  # the kind of what there are several of
    counts: bool = False  # whether it only grows, from 0 at the start of a process


MEANINGS: Mapping[str, Meaning] = {
    "loss": Meaning("Loss of the step, in nats per target token."),
    "loss_mean": Meaning("Mean loss of the last 20 steps, as all that are told apart below."),
    "loss_by_objective": Meaning("Loss of one objective.", "objective"),
    "loss_by_language": Meaning("Loss of one language.", "language"),
    "loss_by_strategy": Meaning("Loss of files that one sampling strategy chose.", "strategy"),
    "loss_of_head": Meaning("Mean loss of a further head in the step.", "head"),
    "validation_loss": Meaning("Loss on rows of held-out repositories, where it was measured."),
    "validation_loss_by_objective": Meaning("The same of one objective.", "objective"),
    "learning_rate": Meaning("Learning rate of the step."),
    "gradient_norm": Meaning("Norm of the gradient before clipping."),
    "tokens_per_second": Meaning("Over all workers, padding included, last 100 steps."),
    "mfu": Meaning("Model FLOPs utilisation, 0 to 1, last 100 steps."),
    "step_seconds": Meaning("Mean time of a step, last 100 steps."),
    "data_wait_share": Meaning("Share of the time spent waiting for rows, last 100 steps."),
    "checkpoint_stall_share": Meaning("Share spent standing still for a training state."),
    "peak_memory_bytes": Meaning("Largest memory of the first worker, last 100 steps."),
    "step": Meaning("Steps that are done."),
    "seconds_left": Meaning("Until the last step, at the speed of the last 100."),
    "tokens": Meaning("Tokens read by this process, padding included.", counts=True),
    "skipped_updates": Meaning("Updates left out, by this process.", counts=True),
    "rollbacks": Meaning("Roll-backs to a training state, by this process.", counts=True),
}
"""All figures; the page on training lists them with these words."""


def figures_of(window: Window) -> dict[Figure, float]:
    """Those of the newest step; values that are unknown or not finite are left out."""
    record, speed = window.last, window.speed
    found: dict[Figure, float | None] = {
        Figure("loss"): record.loss,
        Figure("loss_mean"): window.mean_loss,
        Figure("learning_rate"): record.learning_rate,
        Figure("gradient_norm"): record.gradient_norm,
        Figure("step"): record.step + 1,
        Figure("seconds_left"): window.seconds_left,
        Figure("tokens"): window.tokens,
        Figure("skipped_updates"): window.skipped_updates,
        Figure("rollbacks"): window.rollbacks,
    }
    for kind in KINDS:
        for name, tally in window.tallies(kind).items():
            found[Figure(f"loss_by_{kind}", name_of(name))] = tally.loss
    for name, loss in record.heads.items():
        found[Figure("loss_of_head", name)] = loss
    if record.validation:
        found[Figure("validation_loss")] = overall(record.validation).loss
        for name, tally in record.validation.items():
            found[Figure("validation_loss_by_objective", name)] = tally.loss
    if speed is not None:
        found |= {
            Figure("tokens_per_second"): speed.tokens_per_second,
            Figure("mfu"): speed.mfu,
            Figure("step_seconds"): speed.seconds_per_step,
            Figure("data_wait_share"): speed.data_wait_share,
            Figure("checkpoint_stall_share"): speed.checkpoint_stall_share,
            Figure("peak_memory_bytes"): speed.peak_memory_bytes,
        }
    return {
        figure: float(value)
        for figure, value in found.items()
        if value is not None and math.isfinite(value)
    }
