"""Trying all ways to divide a job among so many devices, and what to warn of."""

from __future__ import annotations

from collections.abc import Iterator

from treespan.jobs.train.plan.device import Device
from treespan.jobs.train.plan.estimate import Estimate, estimate
from treespan.jobs.train.plan.setting import Job, Offload, Setting

_AS_GOOD = 1.02
"""Settings within 2 % of the best are as good as it; the simplest of them is suggested."""
_MOST_ROWS = 64
"""Of a micro batch: more tokens make no product faster."""


def settings(
    job: Job, workers: int, device: Device, *, compiled: bool, most_rows: int | None = None
) -> Iterator[Setting]:
    """All that ``train.execution`` allows, in steps of two; micro batches up to ``most_rows``."""
    offloads: tuple[Offload, ...] = ("none", "cpu", "nvme") if device.is_gpu else ("none",)
    for sharing in _powers_of_two(min(workers, device.links.workers_per_node)):
        if workers % sharing or job.seq_len % sharing or job.model.num_heads % sharing:
            continue
        rows = -(-job.global_batch // (workers // sharing))
        for micro_batch in _powers_of_two(min(rows, most_rows or _MOST_ROWS)):
            for stage in (0, 1, 2, 3) if workers > 1 else (0, 1, 2):
                for offload in offloads:
                    if (offload == "cpu" and stage == 0) or (offload == "nvme" and stage != 3):
                        continue
                    for checkpointed in (False, True):
                        yield Setting(
                            workers=workers,
                            micro_batch=micro_batch,
                            zero_stage=stage,
                            offload=offload,
                            sequence_parallel=sharing,
                            checkpoint_activations=checkpointed,
                            compiled=compiled,
                        )


def _powers_of_two(most: int) -> Iterator[int]:
    size = 1
    while size <= most:
        yield size
        size *= 2


def search(
    job: Job,
    workers: int,
    device: Device,
    *,
    compiled: bool = False,
    most_rows: int | None = None,
) -> list[Estimate]:
    """Estimates of all settings that fit, the one to suggest first, then from fast to slow."""
    fitting = [
        found
        for setting in settings(job, workers, device, compiled=compiled, most_rows=most_rows)
        if (found := estimate(job, setting, device)).fits
    ]
    fitting.sort(key=lambda found: found.time.total)
    if not fitting:
        return []
    best = fitting[0].time.total * _AS_GOOD
    as_good = [found for found in fitting if found.time.total <= best]
    first = min(as_good, key=lambda found: _burden(found))
    return [first, *(found for found in fitting if found is not first)]


def _burden(found: Estimate) -> tuple[int, int, bool, int, float]:
    """What makes a setting less simple, the gravest first; then the memory that it takes."""
    setting = found.setting
    return (
        ("none", "cpu", "nvme").index(setting.offload),
        setting.sequence_parallel,
        setting.checkpoint_activations,
        setting.zero_stage,
        found.memory_bytes,
    )


def best_by_stage(found: list[Estimate]) -> list[Estimate]:
    """The first of each ZeRO stage and place of the optimizer, in the order of ``found``."""
    seen: dict[tuple[int, str], Estimate] = {}
    for one in found:
        seen.setdefault((one.setting.zero_stage, one.setting.offload), one)
    return list(seen.values())


def warnings(found: Estimate, device: Device) -> list[str]:
    """What a person should know of a setting before paying for it."""
    job, setting, time = found.job, found.setting, found.time
    said = []
    if not found.fits:
        said.append(
            f"it does not fit: a worker needs {found.memory_bytes / 1e9:,.1f} GB of "
            f"{found.room_bytes / 1e9:,.1f}"
        )
    wasted = setting.wasted_share(job.global_batch)
    if wasted:
        said.append(
            f"the global batch of {job.global_batch} rows does not divide: {wasted:.0%} of the "
            f"places in a step stay empty"
        )
    if time.offload > 0.2 * time.total:
        said.append(
            f"offloading takes {time.offload / time.total:.0%} of the step, bound by the link to "
            f"the host ({device.host_rate / 1e9:,.0f} GB/s) and its memory or disk"
        )
    if time.exchange > 0.2 * time.total:
        said.append(
            f"the links take {time.exchange / time.total:.0%} of the step beyond what computing "
            f"hides; fewer workers, a larger micro batch or a lower ZeRO stage need less"
        )
    if time.checkpoint > 0.05 * time.total:
        said.append(
            f"training states take {time.checkpoint / time.total:.0%} of the time; raise "
            f"train.checkpoints.every_steps"
        )
    if found.fits and found.memory_bytes > 0.92 * found.room_bytes:
        said.append("memory is within 8 % of the device's, which the estimate may miss by")
    return said
