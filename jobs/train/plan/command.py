"""``treespan plan``: from a recipe and a kind of device to what a run will need and take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from rich.console import Console

from treespan.jobs.recipe import LastStep, load_recipe
from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.hardware import accelerator
from treespan.jobs.train.plan.device import Device, TableDevice
from treespan.jobs.train.plan.estimate import Estimate, estimate
from treespan.jobs.train.plan.search import best_by_stage, search, warnings
from treespan.jobs.train.plan.setting import Job, job_of, setting_of
from treespan.jobs.train.plan.tables import Plan, as_json, paste, plan_tables
from treespan.platform.errors import UserError

_CLUSTERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Numbers of devices that are tried where none is given."""
_CPU_TRIES = 4
"""Micro batches tried on a CPU, where each shape of them must be measured: 1, 2, 4 and 8 rows."""


@dataclass(frozen=True)
class Asked:
    """The arguments of the command."""

    recipe: Path
    overrides: Sequence[str]
    workers: int | None
    gpu: str | None  # of the table; None means this machine's CPU
    price: float | None  # US dollars for a device and hour
    as_json: bool


def show_plan(asked: Asked, console: Console) -> bool:
    """Plan and print; whether any setting fits. Raises ``UserError`` for what cannot be planned."""
    plan = make_plan(asked)
    fits = plan.suggested is not None
    if asked.as_json:
        print(json.dumps(as_json(plan), indent=1))
        return fits
    for table in plan_tables(plan):
        console.print(table)
    for warning in plan.warnings:
        console.print(f"[yellow]recipe:[/] {warning}.", highlight=False, soft_wrap=True)
    for note in plan.notes:
        console.print(f"{note}.", style="dim", highlight=False, soft_wrap=True)
    if plan.suggested is None:
        console.print(
            f"[red]Nothing fits {plan.device}.[/] Take more devices, larger ones, or shorter rows.",
            highlight=False,
            soft_wrap=True,
        )
    elif plan.suggested.setting == plan.now.setting:
        console.print("The recipe's setting is the one to suggest.")
    else:
        console.print("\nTo paste into the recipe:\n")
        console.print(paste(plan), highlight=False, markup=False)
    return fits


def make_plan(asked: Asked) -> Plan:
    """The plan for a recipe."""
    recipe = load_recipe(asked.recipe, asked.overrides)
    steps = get_args(LastStep)
    if steps.index(recipe.last_step) < steps.index("train"):
        raise UserError(
            f"{asked.recipe} ends with {recipe.last_step}, before it trains a model.",
            "Add --set last_step=train to plan what training on its rows would take.",
        )
    train = recipe.train
    job = job_of(train, recipe.tokenize.vocab_size, recipe.pack.seq_len)
    workers = asked.workers or train.execution.max_workers
    if workers % train.execution.sequence_parallel:
        raise UserError(
            f"{workers} workers are not a multiple of train.execution.sequence_parallel "
            f"{train.execution.sequence_parallel}.",
            "Choose another --gpus.",
        )
    if train.execution.sequence_parallel > 1:
        # Imports torch, which other plans do without.
        from treespan.model.sequence_parallel import check_shareable

        check_shareable(job.model, job.seq_len, train.execution.sequence_parallel)
    device = _device(asked, train, workers)
    now = estimate(job, setting_of(train.execution, workers), device)
    found = _search(job, workers, device, train)
    row = accelerator(asked.gpu) if asked.gpu else None
    assumed = row.price_per_hour if row else None
    return Plan(
        device=f"{workers} × {device.name}",
        price_per_hour=asked.price if asked.price is not None else assumed,
        price_is_assumed=asked.price is None,
        now=now,
        suggested=found[0] if found else None,
        others=best_by_stage(found),
        by_workers=_by_workers(job, device, train, asked) if row else (),
        warnings=warnings(now, device),
        notes=_notes(asked, train),
        is_gpu=device.is_gpu,
    )


def _device(asked: Asked, train: TrainConfig, workers: int) -> Device:
    if asked.gpu is not None:
        return TableDevice(asked.gpu.casefold(), accelerator(asked.gpu))
    # Imports torch, which a plan from the table does without.
    from treespan.jobs.train.plan.measured_cpu import MeasuredCpu

    return MeasuredCpu(train.execution.cpus_per_worker, workers)


def _search(job: Job, workers: int, device: Device, train: TrainConfig) -> list[Estimate]:
    most_rows = None if device.is_gpu else 2 ** (_CPU_TRIES - 1)
    return search(job, workers, device, compiled=train.execution.compile, most_rows=most_rows)


def _by_workers(job: Job, device: Device, train: TrainConfig, asked: Asked) -> list[Estimate]:
    """The best for each size of cluster, where the caller has not fixed one."""
    if asked.workers is not None:
        return []
    sizes = [size for size in _CLUSTERS if size <= job.global_batch * 8]
    found = (_search(job, size, device, train) for size in sizes)
    return [best[0] for best in found if best]


def _notes(asked: Asked, train: TrainConfig) -> list[str]:
    said = (
        "Rows are taken as one document each; shorter documents need less attention. Waiting for "
        "data, starting, validation and lost workers are not counted"
    )
    notes = [said]
    if asked.gpu is not None:
        notes.append(
            "GPU figures rest on data sheets and assumed shares of their peaks, see docs/planning.md; "
            "published runs reach 0.8 to 0.9 of them"
        )
        if asked.price is None:
            notes.append("Prices are assumptions; give your own with --price")
    if train.start_from is not None:
        notes.append(
            "The shape is that of train.start_from; rows of the embedding for tokens that are added "
            "to its vocabulary are not counted"
        )
    if train.lora is not None:
        notes.append("Adapters are not planned for: all weights are taken as trained")
    if train.heads.length_weight or train.heads.extra_tokens or train.ema_decay is not None:
        notes.append("Further heads and the mean of weights are not counted")
    return notes
