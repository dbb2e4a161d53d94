"""The learning rate as a pure function of the step, so that a resume needs no scheduler state."""

from __future__ import annotations

import math

from treespan.jobs.train.config import OptimizerConfig


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """The rate of ``step`` (from 0) in a run of ``steps``.

    A linear warm-up to the peak, and then

    - ``cosine`` (SGDR without restarts, arXiv 1608.03983): half a cosine to the least share of the
      peak;
    - ``wsd`` (MiniCPM, arXiv 2404.06395, section 4): the peak, and over the last ``decay_share`` of
      all steps a line to the least share;
    - ``constant``: the peak.

    The least share is that of step ``steps``, the first that is not taken.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    if config.schedule == "cosine":
        left = (1 + math.cos(math.pi * _done(step, config.warmup_steps, steps))) / 2
    else:
        start = max(config.warmup_steps, steps - round(config.decay_share * steps))
        left = 1 - _done(step, start, steps)
    low = config.min_learning_rate_share
    return config.learning_rate * (low + (1 - low) * left)


def _done(step: int, start: int, end: int) -> float:
    """How far ``step`` is on the way from ``start`` to ``end``, 0 to 1."""
    return min(1.0, max(0, step - start) / max(1, end - start))
