"""When an update is left out, and when training goes back: functions of what the records say.

Nothing is remembered between steps, so a run that is resumed decides what the whole one decided.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median

from treespan.jobs.train.config import AnomalyConfig
from treespan.jobs.train.step_record import StepRecord

_WINDOW = 128  # as the docstrings of AnomalyConfig say
_LEAST = 32
"""Without so many values to compare with, only what is not finite is an anomaly. (Ours: the median
of n normal values is off by 1.25 / sqrt(n) deviations, here 0.22. The first norms are also the
largest and the first losses fall fastest, so that early on both rules would look away anyway.)"""
_LEAST_DEVIATION = 0.01
"""In nats. (Ours: a global batch may be so large that losses hardly vary; then a rise of a few
hundredths of a nat would be many deviations, and is no reason to train a part again.)"""
_MAD_TO_DEVIATION = 1.4826
"""Standard deviation of a normal distribution with a median absolute deviation of 1 (Rousseeuw and
Croux 1993)."""


@dataclass(frozen=True)
class SpikeRule:
    """Decides about a step from the steps before it."""

    config: AnomalyConfig

    def skip(self, norm: float, norms_so_far: Sequence[float]) -> str:
        """Why the update with this gradient norm is to be left out; "" where it is not.

        ``norms_so_far`` are those of all steps before, left-out ones included: a level that has
        risen for good is so accepted after half a window. DeepSpeed writes -1 or infinity for a
        norm that is not finite; both count as that.
        """
        if not _is_norm(norm):
            return "the gradient is not finite"
        known = _last(norm for norm in reversed(norms_so_far) if _is_norm(norm) and norm > 0)
        if len(known) < _LEAST:
            return ""
        usual = median(known)
        if norm <= self.config.skip_norm_ratio * usual:
            return ""
        return f"the gradient norm {norm:.3g} is over {self.config.skip_norm_ratio:g} x {usual:.3g}"

    def roll_back(self, history: Sequence[StepRecord]) -> bool:
        """Whether each of the last ``spike_steps`` records is a spike or a left-out update.

        All of them are compared with the same records: the last 128 updates before them. A spike
        can so never hide those that follow it. Mean and deviation are estimated by the median and
        the median absolute deviation, which single spikes further back do not move.
        """
        steps = self.config.spike_steps
        recent, before = history[-steps:], history[:-steps]
        if len(recent) < steps:
            return False
        limit = self._limit(before)
        return all(record.skipped or _is_spike(record, limit) for record in recent)

    def _limit(self, before: Sequence[StepRecord]) -> float:
        """The loss from which on a step is a spike."""
        known = _last(
            record.loss
            for record in reversed(before)
            if not record.skipped and math.isfinite(record.loss)
        )
        if len(known) < _LEAST:
            return math.inf
        usual = median(known)
        deviation = _MAD_TO_DEVIATION * median(abs(loss - usual) for loss in known)
        return usual + self.config.spike_deviations * max(deviation, _LEAST_DEVIATION)


def _is_norm(norm: float) -> bool:
    return math.isfinite(norm) and norm >= 0


def _is_spike(record: StepRecord, limit: float) -> bool:
    too_high = not math.isfinite(record.loss) or record.loss > limit
    return record.targets > 0 and too_high


def _last(newest_first: Iterable[float]) -> list[float]:
    return list(islice(newest_first, _WINDOW))
