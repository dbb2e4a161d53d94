"""A plan as tables for a terminal, and as JSON types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from rich.table import Table

from treespan.jobs.train.plan.estimate import Estimate


@dataclass(frozen=True)
class Plan:
    """What ``treespan plan`` found."""

    device: str
    price_per_hour: float | None  # of one device; None where there is nothing to rent
    price_is_assumed: bool
    now: Estimate  # the recipe's own setting
    suggested: Estimate | None  # None where nothing fits
    others: Sequence[Estimate]  # the best of each ZeRO stage and place of the optimizer
    by_workers: Sequence[Estimate]  # the best with other numbers of devices
    warnings: Sequence[str]  # of the recipe's own setting
    notes: Sequence[str]
    is_gpu: bool

    def cost(self, found: Estimate) -> float | None:
        """US dollars of a whole run."""
        return None if self.price_per_hour is None else found.device_hours * self.price_per_hour


def plan_tables(plan: Plan) -> Iterator[Table]:
    """The job, the recipe's setting beside the suggested one, and others to choose from."""
    yield _job(plan)
    yield _memory(plan)
    yield _time(plan)
    if plan.others:
        yield _settings("the best setting of each kind that fits", plan, plan.others)
    if plan.by_workers:
        yield _settings("by number of devices", plan, plan.by_workers)


def paste(plan: Plan) -> str:
    """The suggested setting as YAML for a recipe; empty where nothing fits."""
    if plan.suggested is None:
        return ""
    execution = plan.suggested.setting.to_recipe(plan.is_gpu)
    return yaml.safe_dump({"train": {"execution": execution}}, sort_keys=False)


def as_json(plan: Plan) -> dict[str, Any]:
    """JSON types; bytes, seconds, dollars."""
    job = plan.now.job
    return {
        "device": plan.device,
        "price_per_device_hour": plan.price_per_hour,
        "price_is_assumed": plan.price_is_assumed,
        "model": {
            "parameters": job.model.num_parameters,
            "flops_per_token": job.model.flops_per_token(job.seq_len),
        },
        "job": {
            "seq_len": job.seq_len,
            "global_batch": job.global_batch,
            "steps": job.steps,
            "tokens": job.total_tokens,
        },
        "recipe": _estimate_json(plan, plan.now),
        "suggested": None if plan.suggested is None else _estimate_json(plan, plan.suggested),
        "others": [_estimate_json(plan, found) for found in plan.others],
        "by_workers": [_estimate_json(plan, found) for found in plan.by_workers],
        "warnings": list(plan.warnings),
        "notes": list(plan.notes),
    }


def _estimate_json(plan: Plan, found: Estimate) -> dict[str, Any]:
    return {
        "execution": found.setting.to_recipe(plan.is_gpu),
        "fits": found.fits,
        "memory": {
            **{name.replace(" ", "_"): size for name, size in found.memory.parts.items()},
            "total": found.memory_bytes,
            "of": found.room_bytes,
            "host": found.memory.host,
            "disk": found.memory.disk,
        },
        "step_seconds": found.time.total,
        "seconds_by_part": {k.replace(" ", "_"): v for k, v in found.time.parts.items()},
        "tokens_per_second": found.tokens_per_s,
        "mfu": found.mfu,
        "days": found.days,
        "cost": plan.cost(found),
    }


def _job(plan: Plan) -> Table:
    job = plan.now.job
    table = Table(title="what is trained", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("parameters", f"{job.model.num_parameters:,}")
    per_token = job.model.flops_per_token(job.seq_len)
    table.add_row("operations per token", f"{per_token / 1e9:,.3g} GFLOP")
    table.add_row("rows in a step, tokens in a row", f"{job.global_batch:,} × {job.seq_len:,}")
    table.add_row("steps", f"{job.steps:,}")
    table.add_row("tokens", _count(job.total_tokens))
    table.add_row("operations", f"{per_token * job.total_tokens:.3g} FLOP")
    table.add_row("device", plan.device)
    return table


def _pair(plan: Plan) -> list[tuple[str, Estimate]]:
    pair = [("recipe", plan.now)]
    if plan.suggested is not None and plan.suggested.setting != plan.now.setting:
        pair.append(("suggested", plan.suggested))
    return pair


def _memory(plan: Plan) -> Table:
    table = Table(title="memory of a worker at its peak, GB", title_justify="left")
    pair = _pair(plan)
    table.add_column("part")
    for name, _ in pair:
        table.add_column(name, justify="right")
    for part in plan.now.memory.parts:
        table.add_row(part, *(_gigabytes(found.memory.parts[part]) for _, found in pair))
    base = plan.now.memory_bytes - plan.now.memory.device
    if base:
        table.add_row("the process itself", *(_gigabytes(base) for _ in pair))
    table.add_section()
    table.add_row("all", *(_gigabytes(found.memory_bytes) for _, found in pair))
    table.add_row("of", *(_gigabytes(found.room_bytes) for _, found in pair))
    for name, of in (("in the host's memory", "host"), ("on NVMe", "disk")):
        sizes = [getattr(found.memory, of) for _, found in pair]
        if any(sizes):
            table.add_row(name, *(_gigabytes(size) for size in sizes))
    return table


def _time(plan: Plan) -> Table:
    table = Table(title="a step", title_justify="left")
    pair = _pair(plan)
    table.add_column("part")
    for name, _ in pair:
        table.add_column(name, justify="right")
    for part in plan.now.time.parts:
        if any(found.time.parts[part] for _, found in pair):
            cells = (found.time.parts[part] / found.time.total for _, found in pair)
            table.add_row(part, *(f"{share:.1%}" for share in cells))
    table.add_section()
    rows: Mapping[str, list[str]] = {
        "seconds": [f"{found.time.total:,.3g}" for _, found in pair],
        "tokens per second": [f"{found.tokens_per_s:,.0f}" for _, found in pair],
        "of a device": [f"{found.tokens_per_s / found.setting.workers:,.0f}" for _, found in pair],
        "MFU": [f"{found.mfu:.1%}" for _, found in pair],
        "the whole run": [_duration(found.days) for _, found in pair],
        "device hours": [f"{found.device_hours:,.1f}" for _, found in pair],
    }
    for name, cells_ in rows.items():
        table.add_row(name, *cells_)
    if plan.price_per_hour is not None:
        said = "cost, at an assumed price" if plan.price_is_assumed else "cost"
        table.add_row(said, *(f"${plan.cost(found):,.0f}" for _, found in pair))
    return table


def _settings(title: str, plan: Plan, found: Sequence[Estimate]) -> Table:
    table = Table(title=title, title_justify="left")
    names = ["workers", "ZeRO", "offload", "rows", "shared by", "recompute", "GB", "s/step", "MFU"]
    for name in (*names, "time"):
        table.add_column(name, justify="right")
    if plan.price_per_hour is not None:
        table.add_column("cost", justify="right")
    for one in found:
        setting = one.setting
        cells = [
            str(setting.workers),
            str(setting.zero_stage),
            setting.offload,
            str(setting.micro_batch),
            str(setting.sequence_parallel),
            "yes" if setting.checkpoint_activations else "no",
            _gigabytes(one.memory_bytes),
            f"{one.time.total:,.3g}",
            f"{one.mfu:.0%}",
            _duration(one.days),
        ]
        if plan.price_per_hour is not None:
            cells.append(f"${plan.cost(one):,.0f}")
        table.add_row(*cells)
    return table


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.2f}"


def _count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= size:
            return f"{number / size:,.3g} {unit}"
    return f"{number:,}"


def _duration(days: float) -> str:
    hours = days * 24
    if days >= 2:
        return f"{days:,.1f} days"
    return f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min"
