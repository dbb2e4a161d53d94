"""What stands between a gradient and the weights: its norm, clipping, and the rule that leaves an
update out.

DeepSpeed's ZeRO optimizers measure the norm of the whole gradient and clip before they call AdamW,
so AdamW's veto can ask for it. Without ZeRO both are done here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from treespan.jobs.train.anomalies import SpikeRule

NOT_FINITE = "the gradient is not finite"


class GradientGuard:
    """Decides, once per step, whether weights are updated; the same on every worker."""

    def __init__(self, engine: Any, gradient_clip: float, rule: SpikeRule) -> None:
        self._engine = engine
        self._clip = gradient_clip
        self._rule = rule
        self._norms: Sequence[float] = ()
        self._reason: str | None = None
        self.norm = math.nan
        """Of the last step's gradient, before clipping."""
        optimizer = engine.optimizer
        self._zero = optimizer if hasattr(optimizer, "optimizer") else None
        getattr(optimizer, "optimizer", optimizer).veto = self._veto

    def before(self, norms: Sequence[float]) -> None:
        """A step begins; ``norms`` are those of the steps so far."""
        self._norms = norms
        self._reason = None
        self.norm = math.nan

    def after(self) -> str:
        """A step has ended: why its update was left out, "" where it was not."""
        if self._reason is None:  # DeepSpeed itself has turned the gradient away
            self.norm, self._reason = math.inf, NOT_FINITE
        return self._reason

    def _veto(self) -> bool:
        if self._reason is None:
            if self._zero is not None:
                self.norm = float(self._zero._global_grad_norm)
            else:
                parameters = [p for p in self._engine.module.parameters() if p.grad is not None]
                self.norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._clip))
            finite = math.isfinite(self.norm)
            self._reason = self._rule.skip(self.norm, self._norms) if finite else NOT_FINITE
        return bool(self._reason)
