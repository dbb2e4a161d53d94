"""A plan as tables for a terminal, and as JSON types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from rich.table import Table

from treespan.jobs.train.plan.estimate import Estimate

Cell = Callable[[Estimate], str]
"""What a column shows of an estimate."""
_LEGEND = "shared: workers to a row; twice: activations computed again"


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
        title = "the best setting of each kind that fits"
        yield _settings(title, plan, plan.others, ("step", lambda one: _seconds(one.time.total)))
    if plan.by_workers:
        count = ("on", lambda one: str(one.setting.workers))
        yield _settings("by number of devices", plan, plan.by_workers, count)


def paste(plan: Plan) -> str:
    """The suggested setting as YAML for a recipe; empty where nothing fits."""
    if plan.suggested is None:
        return ""
    execution = plan.suggested.setting.to_recipe(plan.is_gpu)
    text = yaml.safe_dump({"train": {"execution": execution}}, sort_keys=False)
    return re.sub(r"(nvme_folder: .*)", r"\1  # yours", text)


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
        "fits": plan.suggested is not None,
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
        "time": [_seconds(found.time.total) for _, found in pair],
        "tokens per second": [f"{found.tokens_per_s:,.0f}" for _, found in pair],
        "of a device": [f"{found.tokens_per_s / found.setting.workers:,.0f}" for _, found in pair],
        "MFU": [f"{found.mfu:.1%}" for _, found in pair],
        "the whole run": [_duration(found.days) for _, found in pair],
        "device hours": [_number(found.device_hours) for _, found in pair],
    }
    for name, cells_ in rows.items():
        table.add_row(name, *cells_)
    if plan.price_per_hour is not None:
        said = "cost, at an assumed price" if plan.price_is_assumed else "cost"
        table.add_row(said, *(_dollars(plan, found) for _, found in pair))
    return table


def _settings(title: str, plan: Plan, found: Sequence[Estimate], first: tuple[str, Cell]) -> Table:
    """One setting a line, within 80 characters; ``first`` is what this table alone shows.

    What is the same in all lines is told once, below them.
    """
    choices: list[tuple[str, Cell]] = [
        ("ZeRO", _stage),
        ("rows", lambda one: str(one.setting.micro_batch)),
        ("shared", lambda one: str(one.setting.sequence_parallel)),
        ("twice", lambda one: "yes" if one.setting.checkpoint_activations else "no"),
    ]
    equal = [(name, cell) for name, cell in choices if len({cell(one) for one in found}) == 1]
    columns = [
        first,
        *(choice for choice in choices if choice not in equal),
        ("GB", lambda one: _gigabytes(one.memory_bytes)),
        ("MFU", lambda one: f"{one.mfu:.0%}"),
        ("run", lambda one: _duration(one.days)),
    ]
    if plan.price_per_hour is not None:
        columns.append(("cost", lambda one: _dollars(plan, one)))
    table = Table(title=title, title_justify="left", caption_justify="left")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        table.add_row(*(cell(one) for _, cell in columns))
    same = ", ".join(f"{name} {cell(found[0])}" for name, cell in equal)
    table.caption = f"all: {same}\n{_LEGEND}" if same else _LEGEND
    return table


def _stage(found: Estimate) -> str:
    """The ZeRO stage, and where the optimizer is if not on the device."""
    offload = found.setting.offload
    return f"{found.setting.zero_stage}{'' if offload == 'none' else f' {offload}'}"


def _dollars(plan: Plan, found: Estimate) -> str:
    cost = plan.cost(found)
    if cost is None:
        return ""
    if cost >= 1e6:
        return f"${cost / 1e6:,.2f} M"
    if cost >= 10:
        return f"${cost:,.0f}"
    return f"${cost:.2f}" if cost >= 0.005 else "< 1 cent"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.{1 if size >= 1e10 else 2}f}"


def _count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M")):
        if number >= size:
            return f"{number / size:,.3g} {unit}"
    return f"{number:,}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(seconds: float) -> str:
    return f"{_number(seconds)} s" if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"


def _duration(days: float) -> str:
    if days >= 2:
        return f"{_number(days)} days"
    hours, minutes, seconds = days * 24, days * 1440, days * 86_400
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{minutes:.1f} min" if minutes >= 1 else _seconds(seconds)
