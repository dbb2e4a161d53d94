"""AdamW whose update can be left out after the gradient is known.

DeepSpeed computes the norm of the gradient inside its own step and calls that of the base optimizer
right after, with nothing in between that could be hooked: so the question whether to update is
asked here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class GuardedAdamW(torch.optim.AdamW):
    """``torch.optim.AdamW`` with a veto; without one it is the same, bit for bit."""

    veto: Callable[[], bool] | None = None
    """Asked before every update; true leaves weights, moments and counts as they are, whatever the
    gradient holds. DeepSpeed calls ``step`` once for every group of parameters (stage 2) or part
    of one (stage 3), so within a step of training the answer must not change, and it must be the
    same on all workers."""

    # torch types ``step`` by overloads that a veto does not follow.
    def step(self, closure: Any = None) -> Any:
        """One update, or none. A closure is for optimizers that search; there is none here."""
        if self.veto is not None and self.veto():
            # DeepSpeed links to the moments after the first step, for good: they must exist.
            for group in self.param_groups:
                self._create_moments(group)
            return None
        return super().step(closure)

    def _create_moments(self, group: dict[str, Any]) -> None:
        unused: list[list[Tensor]] = [[] for _ in range(6)]
        self._init_group(group, *unused)  # type: ignore[no-untyped-call]
