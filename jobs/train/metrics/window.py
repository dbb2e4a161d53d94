"""The last steps of a process: what every figure that is shown while training is computed from."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from treespan.jobs.train.losses_table import overall, pooled
from treespan.jobs.train.metrics.throughput import RunFacts, Throughput, throughput
from treespan.jobs.train.step_record import StepRecord, StepTiming, Tally
from treespan.platform.losses import MEAN_STEPS

SPEED_STEPS = 100
"""Speeds are means over so many steps. (Ours: enough that checkpoints and validation, which come
now and then, count for the share of time that they take.)"""

_UNUSUAL = 4.0
"""A gradient norm is unusual from so many times the median of the window. (Ours: what is shown is to
be looked at; what is skipped is decided by ``anomalies``.)"""


@dataclass
class Window:
    """Steps since this process began, the newest last. A process that resumes begins anew."""

    facts: RunFacts
    records: deque[StepRecord] = field(default_factory=lambda: deque(maxlen=SPEED_STEPS))
    timings: deque[StepTiming] = field(default_factory=lambda: deque(maxlen=SPEED_STEPS))
    steps: int = 0
    tokens: int = 0
    skipped_updates: int = 0
    rollbacks: int = 0

    def add(self, record: StepRecord, timing: StepTiming) -> None:
        """One more step. A step that does not come after the one before tells of a roll-back."""
        if self.records and record.step <= self.records[-1].step:
            self.rollbacks += 1
            self.records.clear()
        if self.steps == 1:
            # Libraries load and memory is allocated in the first step: it says nothing of the rest.
            self.timings.clear()
        self.records.append(record)
        self.timings.append(timing)
        self.steps += 1
        self.tokens += timing.tokens
        self.skipped_updates += bool(record.skipped)

    @property
    def last(self) -> StepRecord:
        """The newest step."""
        return self.records[-1]

    @property
    def speed(self) -> Throughput | None:
        """Means of times; None where no time has gone by."""
        return throughput(self.timings, self.facts)

    @property
    def seconds_left(self) -> float | None:
        """Until the last step, at the speed of the window."""
        speed = self.speed
        if speed is None:
            return None
        return (self.facts.total_steps - 1 - self.last.step) * speed.seconds_per_step

    @property
    def mean_loss(self) -> float:
        """Mean loss of the last steps in nats per target token."""
        return overall(self.tallies("objective")).loss

    def tallies(self, kind: str) -> Mapping[str, Tally]:
        """Tallies of the last steps by ``objective``, ``language`` or ``strategy``."""
        recent = list(self.records)[-MEAN_STEPS:]
        return pooled(getattr(record, f"by_{kind}") for record in recent)

    @property
    def usual_norm(self) -> float | None:
        """The median of the gradient norms before the newest; None without any."""
        norms = [record.gradient_norm for record in list(self.records)[:-1]]
        finite = [norm for norm in norms if math.isfinite(norm)]
        return median(finite) if finite else None

    @property
    def norm_is_unusual(self) -> bool:
        """Whether the newest gradient norm is not finite, or far above the median."""
        norm, usual = self.last.gradient_norm, self.usual_norm
        return not math.isfinite(norm) or (usual is not None and norm > _UNUSUAL * usual)


def describe(window: Window) -> str:
    """One line on how training goes: ``loss 3.912  5,103 tokens/s  31% MFU  data wait 0.2%``.

    The gradient norm is in it where it is unusual. When training will end is a number of its own
    (``Window.seconds_left``), which a bar turns into words.
    """
    record, speed = window.last, window.speed
    parts = [f"loss {record.loss:.3f}"]
    if speed is not None:
        parts.append(f"{speed.tokens_per_second:,.0f} tokens/s")
        if speed.mfu is not None:
            parts.append(f"{speed.mfu:.0%} MFU")
        parts.append(f"data wait {speed.data_wait_share:.1%}")
    if record.validation:
        parts.append(f"validation {overall(record.validation).loss:.3f}")
    if window.norm_is_unusual:
        usual = window.usual_norm
        said = f"gradient norm {record.gradient_norm:.3g}"
        parts.append(said if usual is None else f"{said} (median {usual:.3g})")
    if record.skipped:
        parts.append(f"update left out: {record.skipped}")
    return "  ".join(parts)
