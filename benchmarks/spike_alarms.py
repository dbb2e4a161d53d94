"""How often the rules for spikes speak up where nothing is wrong.

``python -m benchmarks.spike_alarms losses.arrow ...`` judges the steps of real runs, which are taken
to be healthy, and of loss curves with noise of three kinds. Prints a line each: steps, spikes,
roll-backs, updates left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from treespan.jobs.train.anomalies import SpikeRule
from treespan.jobs.train.config import AnomalyConfig
from treespan.jobs.train.step_record import StepRecord, Tally

_CURVES, _STEPS, _NOISE = 8, 1000, 0.15
_ONE = SpikeRule(AnomalyConfig(spike_steps=1))
_RULE = SpikeRule(AnomalyConfig())


def alarms(losses: Sequence[float], norms: Sequence[float]) -> tuple[int, int, int]:
    """Steps that are a spike for themselves, steps that end in a roll-back, updates left out."""
    history = [
        StepRecord(step, 0.0, norm, {"ntp": Tally(loss, 1)}, {}, {})
        for step, (loss, norm) in enumerate(zip(losses, norms, strict=True))
    ]
    ends = range(1, len(history) + 1)
    return (
        sum(_ONE.roll_back(history[:end]) for end in ends),
        sum(_RULE.roll_back(history[:end]) for end in ends),
        sum(bool(_RULE.skip(norm, norms[:step])) for step, norm in enumerate(norms)),
    )


def main(tables: Annotated[list[Path] | None, typer.Argument()] = None) -> None:
    """Print the alarms of each table of losses, and of made-up curves."""
    for path in tables or []:
        table = pa.ipc.open_file(path).read_all()
        losses, norms = table["loss"].to_pylist(), table["gradient_norm"].to_pylist()
        _show(str(path.parent.name), len(losses), alarms(losses, norms))
    falling = 3 + 6 * (1 + np.arange(_STEPS) / 20) ** -0.5
    for kind in ("normal", "laplace", "standard_t"):
        total = np.zeros(3, dtype=int)
        for seed in range(_CURVES):
            draw = getattr(np.random.default_rng(seed), kind)
            noise = draw(3, size=_STEPS) if kind == "standard_t" else draw(size=_STEPS)
            total += alarms((falling + _NOISE * noise).tolist(), [1.0] * _STEPS)
        _show(kind, _CURVES * _STEPS, tuple(total.tolist()))


def _show(name: str, steps: int, found: tuple[int, ...]) -> None:
    spikes, roll_backs, left_out = found
    print(f"{name}: {steps} steps, {spikes} spikes, {roll_backs} roll-backs, {left_out} left out")


if __name__ == "__main__":
    typer.run(main)
