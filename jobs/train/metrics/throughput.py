"""How fast training is and what it waits for, from the times of its steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from treespan.jobs.train.step_record import StepTiming
from treespan.model.config import ModelConfig


@dataclass(frozen=True)
class RunFacts:
    """What stays the same for as long as a process trains."""

    model_config: ModelConfig
    seq_len: int
    global_batch: int  # rows
    total_steps: int
    world: int  # workers
    device: str
    peak_flops: float | None  # of one worker's device, per second; None where it is unknown
    run_name: str  # the same for a run that goes on
    settings: Mapping[str, Any] = field(default_factory=dict)  # as JSON types, for trackers


@dataclass(frozen=True)
class Throughput:
    """Means over some steps, and the largest memory among them."""

    seconds: float  # of all the steps
    seconds_per_step: float
    tokens_per_second: float  # padding included
    mfu: float | None
    """Model FLOPs utilisation (PaLM, arXiv 2204.02311, section 4.1): the operations that the model
    needs, over those that the devices could have done in the wall time. Recomputed activations
    count for nothing, and waiting counts against it."""
    data_wait_share: float
    checkpoint_stall_share: float
    peak_memory_bytes: int


def throughput(timings: Sequence[StepTiming], facts: RunFacts) -> Throughput | None:
    """Of ``timings``; None where they took no time, as none at all do."""
    seconds = sum(timing.seconds for timing in timings)
    if seconds <= 0:
        return None
    rate = sum(timing.tokens for timing in timings) / seconds
    mfu = None
    if facts.peak_flops:
        needed = rate * facts.model_config.flops_per_token(facts.seq_len)
        mfu = needed / (facts.world * facts.peak_flops)
    return Throughput(
        seconds=seconds,
        seconds_per_step=seconds / len(timings),
        tokens_per_second=rate,
        mfu=mfu,
        data_wait_share=sum(timing.data_wait_seconds for timing in timings) / seconds,
        checkpoint_stall_share=sum(timing.checkpoint_seconds for timing in timings) / seconds,
        peak_memory_bytes=max(timing.peak_memory_bytes for timing in timings),
    )


def measures(timings: Sequence[StepTiming], facts: RunFacts) -> dict[str, Any]:
    """What a manifest says of the speed; null where a process has trained nothing, since it only
    had to export what one before it had finished."""
    found = throughput(timings, facts)
    if found is None:
        names = ("tokens_per_second", "mfu", "data_wait_share", "checkpoint_stall_share")
        return {**dict.fromkeys((*names, "peak_memory_bytes")), "seconds": 0.0}
    return {
        "tokens_per_second": round(found.tokens_per_second, 1),
        "mfu": None if found.mfu is None else round(found.mfu, 5),
        "data_wait_share": round(found.data_wait_share, 5),
        "checkpoint_stall_share": round(found.checkpoint_stall_share, 5),
        "peak_memory_bytes": found.peak_memory_bytes,
        "seconds": round(found.seconds, 3),
    }
