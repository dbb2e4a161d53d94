"""Steps of a run that never was, with the shape of a real one."""

from __future__ import annotations

import math
from collections.abc import Mapping

from treespan.jobs.train.losses_table import (
    LOSSES,
    TIMINGS,
    loss_counts,
    loss_rows,
    timing_row,
)
from treespan.jobs.train.metrics.throughput import RunFacts, measures
from treespan.jobs.train.step_record import StepRecord, StepTiming, Tally
from treespan.model.config import ModelConfig
from treespan.model.objectives import OBJECTIVES
from treespan.platform.progress import Progress
from treespan.platform.schemas import batches
from treespan.platform.steps import Context, Output, Result, Step, execute
from treespan.platform.store import Store

MODEL = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=64,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    max_positions=64,
)
_EASE = {"ntp": 0.0, "fim": 0.3, "sfim": -0.1}
_LANGUAGES = {"Python": -0.2, "C++": 0.3, "Go": 0.0}
_STRATEGIES = {"content": 0.0, "random": 0.1}


def facts(**changes: object) -> RunFacts:
    """A run of 100 steps on two workers."""
    values: dict[str, object] = {
        "model_config": MODEL,
        "seq_len": 32,
        "global_batch": 8,
        "total_steps": 100,
        "world": 2,
        "device": "cpu",
        "peak_flops": 1e9,
        "run_name": "small-0123",
        "settings": {"seed": 0, "optimizer": {"learning_rate": 3e-4}},
    }
    return RunFacts(**(values | changes))  # type: ignore[arg-type]


def record(step: int, **changes: object) -> StepRecord:
    """A step whose loss falls from 8 towards 4 nats, with a wave on it."""
    loss = 4 + 4 * math.exp(-step / 40) + 0.1 * math.sin(1.7 * step)

    def tallies(kinds: Mapping[str, float], targets: int) -> dict[str, Tally]:
        return {
            name: Tally((loss + more) * (targets - n * 20), targets - n * 20)
            for n, (name, more) in enumerate(kinds.items())
        }

    values: dict[str, object] = {
        "step": step,
        "learning_rate": 3e-4 * min(1, (step + 1) / 10),
        "gradient_norm": 1 + 0.2 * math.sin(step),
        "by_objective": {
            **dict.fromkeys(OBJECTIVES, Tally(0.0, 0)),
            **tallies(_EASE, 90),
        },
        "by_language": tallies(_LANGUAGES, 90),
        "by_strategy": tallies(_STRATEGIES, 115),
    }
    return StepRecord(**(values | changes))  # type: ignore[arg-type]


def timing(**changes: object) -> StepTiming:
    """A step of half a second, of which a hundredth was waiting."""
    values: dict[str, object] = {
        "seconds": 0.5,
        "data_wait_seconds": 0.005,
        "checkpoint_seconds": 0.0,
        "tokens": 256,
        "peak_memory_bytes": 1_000_000,
    }
    return StepTiming(**(values | changes))  # type: ignore[arg-type]


def validation(loss: float) -> dict[str, Tally]:
    """Held-out rows, with an objective that is a tenth harder than the mean."""
    return {"ntp": Tally(loss * 100, 100), "sfim": Tally(loss * 1.1 * 50, 50)}


def training_output(store: Store) -> Output:
    """The published step of a run of 100 steps: an update left out, a roll-back, two placements."""
    history = [
        record(
            step,
            skipped="norm" if step == 30 else "",
            gradient_norm=25.0 if step == 30 else 1.0,
            validation=validation(8 - step / 25) if step % 33 == 0 else {},
        )
        for step in range(100)
    ]
    times = [timing(checkpoint_seconds=0.1 * (step % 25 == 24)) for step in range(100)]
    skips = [(40, 8)]
    placements = [
        {"from_step": 0, "workers": 2, "zero_stage": 2},
        {"from_step": 40, "workers": 1, "zero_stage": 3, "offload": "cpu"},
    ]

    def run(context: Context) -> Result:
        rows = loss_rows(history, skips)
        losses = store.write_table(f"{context.folder}/losses.arrow", LOSSES, batches(LOSSES, rows))
        timed = (timing_row(step, found) for step, found in enumerate(times))
        timings = store.write_table(
            f"{context.folder}/timings.arrow", TIMINGS, batches(TIMINGS, timed)
        )
        counts = {**loss_counts(history, skips, 64), "parameters": 1}
        measured = {**measures(times, facts()), "placements": placements}
        return Result([losses], counts, measured, varying_files=[timings])

    step = Step(name="train", version=1, params={}, run=run, needs_ray=False)
    return execute(step, store, {}, Progress(quiet=True))
