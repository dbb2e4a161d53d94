"""What Ray Train runs on every worker: the loop, with Ray's board, metrics and notices around it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import train
from ray.train.torch import get_device
from torch import Tensor

from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.hardware import peak_flops
from treespan.jobs.train.loop import Place, Worker
from treespan.jobs.train.losses_table import TIMINGS, timing_row
from treespan.jobs.train.metrics.sink import Sink
from treespan.jobs.train.metrics.throughput import RunFacts
from treespan.jobs.train.metrics.trackers import open_sinks
from treespan.jobs.train.metrics.window import Window, describe
from treespan.jobs.train.rows import TrainingRows
from treespan.jobs.train.shard_reader import open_readers
from treespan.jobs.train.start import StartingPoint
from treespan.jobs.train.step_record import StepRecord, StepTiming
from treespan.jobs.train.tally import TallyKeys
from treespan.jobs.train.train_state import TrainStates
from treespan.model.sequence_parallel import sequence_group
from treespan.platform.errors import UserError
from treespan.platform.schemas import batches
from treespan.platform.steps import Output
from treespan.platform.store import Store

STATES = "states"
TIMING_TABLES = "timings"
FACTS = "facts.json"
"""What the first worker knows of the machine, for the measures of the run."""
_REFUSED = "refused.json"
_NOTICE_S = 5.0
"""So often Ray is asked whether the machine is about to go away; asking costs a round trip."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know."""

    config: TrainConfig
    start: StartingPoint
    store: Store
    work: str
    seq_len: int
    pack: Output
    sample: Output
    board: Any
    run_name: str


def refusal(store: Store, work: str) -> UserError | None:
    """The error that a person can mend, if it has ended an earlier try."""
    path = f"{work}/{_REFUSED}"
    if not store.exists(path):
        return None
    values = store.read_json(path)
    store.delete_file(path)
    return UserError(values["problem"], values["fix"])


def train_worker(arguments: dict[str, Any]) -> None:
    """Train to the end.

    What a person must mend is written down, and ends the worker: others may wait for it, so Ray
    must end them too. Should it try again, all see what was written, and are done at once.
    """
    job: Job = arguments["job"]
    if job.store.exists(f"{job.work}/{_REFUSED}"):
        return
    try:
        _train(job)
    except UserError as error:
        job.store.write_json(f"{job.work}/{_REFUSED}", {"problem": error.problem, "fix": error.fix})
        raise


def _train(job: Job) -> None:
    place = _place(job.config)
    index_folder = f"{job.pack.folder}/shards"
    cache = Path(os.environ.get("TREESPAN_CACHE", "~/.cache/treespan")).expanduser()
    readers = open_readers(job.store, index_folder, cache)
    heldout = open_readers(job.store, f"{job.pack.folder}/heldout", cache)
    has_heldout = job.pack.counts["heldout_rows"] > 0
    rows = TrainingRows(
        job.config,
        job.seq_len,
        readers,
        heldout[0] if has_heldout else None,
        place.rank,
        place.world,
        place.sequence,
    )
    hooks = _RayHooks(job, place)
    worker = Worker(
        job.config,
        job.start.model_config,
        place,
        rows,
        TallyKeys.of(job.pack, job.sample),
        TrainStates(job.store, f"{job.work}/{STATES}"),
        lambda: _for_loss_model(job.start.weights()),
        hooks,
    )
    try:
        worker.run()
    finally:
        hooks.close()


def _place(config: TrainConfig) -> Place:
    context = train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = get_device() if config.execution.use_gpu else torch.device("cpu")
    if device.type == "cpu":
        # DeepSpeed would take a GPU that the node happens to have.
        os.environ["DS_ACCELERATOR"] = "cpu"
        torch.set_num_threads(config.execution.cpus_per_worker)
    shared = config.execution.sequence_parallel
    return Place(rank, world, device, sequence_group(shared) if shared > 1 else None)


def _for_loss_model(weights: Iterator[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    return ((f"transformer.{name}", tensor) for name, tensor in weights)


class _RayHooks:
    """Only the first worker shows and writes anything."""

    def __init__(self, job: Job, place: Place) -> None:
        self._job, self._place = job, place
        config = job.config
        self._facts = RunFacts(
            model_config=job.start.model_config,
            seq_len=job.seq_len,
            global_batch=config.global_batch,
            total_steps=config.total_steps(job.seq_len),
            world=place.world,
            device=_device_name(place.device),
            peak_flops=peak_flops(place.device),
            run_name=job.run_name,
            settings=config.model_dump(mode="json"),
        )
        self._window = Window(self._facts)
        self._timings: list[dict[str, Any]] = []
        self._asked_at = time.monotonic()
        self._sinks: list[Sink] = []
        if place.rank == 0:
            self._sinks = open_sinks(config.metrics, self._facts, self.say)
            facts = {"device": self._facts.device, "peak_flops": self._facts.peak_flops}
            with suppress(OSError):
                job.store.write_json(f"{job.work}/{FACTS}", facts)

    def after_step(self, record: StepRecord, timing: StepTiming) -> None:
        """Show and pass on what was done; tables of timings go to the store with the states."""
        if self._place.rank != 0:
            return
        self._window.add(record, timing)
        self._job.board.post.remote(
            record.step + 1, describe(self._window), self._window.seconds_left
        )
        for sink in self._sinks:
            sink.record(record, timing)
        self._timings.append(timing_row(record.step, timing))
        if (record.step + 1) % self._job.config.checkpoints.every_steps == 0:
            self._write_timings()

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self._place.rank == 0:
            self._job.board.say.remote(text)

    def time_to_ask(self) -> bool:
        """Whether Ray should be asked now; the first worker's clock decides for all."""
        now = time.monotonic()
        if self._place.rank != 0 or now - self._asked_at < _NOTICE_S:
            return False
        self._asked_at = now
        return True

    def must_save(self) -> bool:
        """Whether Ray was told that a machine is about to go away."""
        return train.get_preemption_info() is not None

    def close(self) -> None:
        """Write what is left."""
        self._write_timings()
        for sink in self._sinks:
            sink.close()

    def _write_timings(self) -> None:
        if not self._timings:
            return
        with suppress(OSError):  # times are not worth a run; they stay for the next try
            name = f"{self._timings[-1]['step']:08d}-{time.time_ns()}.arrow"
            path = f"{self._job.work}/{TIMING_TABLES}/{name}"
            self._job.store.write_table(path, TIMINGS, batches(TIMINGS, self._timings))
            self._timings = []


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
