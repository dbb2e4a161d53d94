"""The learning rate as a pure function of the step, so that a resume needs no scheduler state."""

from __future__ import annotations

import math

from treespan.jobs.train.config import OptimizerConfig


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """The rate of ``step`` (from 0): linear warm-up, then a cosine to its share of the peak."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    span = max(1, steps - config.warmup_steps)
    done = min(1.0, (step - config.warmup_steps) / span)
    cosine = (1 + math.cos(math.pi * done)) / 2
    low = config.min_learning_rate_share
    return config.learning_rate * (low + (1 - low) * cosine)
