"""The training step: Ray Train places, watches and restarts the workers that ``loop`` describes."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch.distributed as dist
from ray import train
from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from treespan.jobs.pack.shard_index import ShardIndex
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.loop import Worker
from treespan.jobs.train.row_order import RowOrder
from treespan.jobs.train.shard_reader import ShardReader
from treespan.model.checkpoint import save_checkpoint
from treespan.model.objectives import OBJECTIVES
from treespan.platform.progress_board import watched_board
from treespan.platform.schemas import batches
from treespan.platform.steps import Context, Output, Result, Step
from treespan.platform.store import FileEntry, Store

_RUN = "ray-train"
_EXPORTED = "exported.json"

LOSSES = pa.schema(
    [
        ("step", pa.int64()),
        ("learning_rate", pa.float64()),
        ("gradient_norm", pa.float64()),
        ("loss", pa.float64()),  # nats per target token
        *[(f"loss_{name}", pa.float64()) for name in OBJECTIVES],
        ("target_tokens", pa.int64()),
    ]
)
"""One row is an optimizer step."""


def make_step(config: TrainConfig) -> Step:
    """``checkpoint/`` (what serves) and ``losses.arrow`` (one row per step)."""
    return Step(
        name="train",
        version=2,
        params=config.decisive(),
        inputs=("tokenize", "pack"),
        cpus=config.num_workers,
        run=lambda context: _run(context, config),
    )


def _run(context: Context, config: TrainConfig) -> Result:
    store, pack = context.store, context.inputs["pack"]
    model_config = config.shape(context.inputs["tokenize"].counts["vocab_size"])
    exported = f"{context.work}/{_EXPORTED}"
    with watched_board(context.progress, "train", config.steps) as board:
        if not store.exists(exported):
            trainer = TorchTrainer(
                _train_worker,
                train_loop_config={
                    "config": config,
                    "model_config": model_config,
                    "store": store,
                    "pack": pack,
                    "tokenize": context.inputs["tokenize"],
                    "folder": context.folder,
                    "exported": exported,
                    "board": board,
                },
                torch_config=TorchConfig(backend="gloo"),
                scaling_config=ScalingConfig(
                    num_workers=config.num_workers, resources_per_worker={"CPU": 1}
                ),
                run_config=RunConfig(
                    # The same name and place again is how a run that was killed goes on.
                    name=_RUN,
                    storage_path=store.path(context.work),
                    storage_filesystem=store.fs,
                    failure_config=FailureConfig(max_failures=config.max_failures),
                    checkpoint_config=CheckpointConfig(num_to_keep=2),
                ),
            )
            trainer.fit()
    outcome = store.read_json(exported)
    files = [FileEntry(**entry) for entry in outcome["files"]]
    return Result(files, outcome["counts"], outcome["measures"])


def _train_worker(job: dict[str, Any]) -> None:
    """What Ray Train runs on every worker."""
    config: TrainConfig = job["config"]
    store: Store = job["store"]
    place = train.get_context()
    rank, world = place.get_world_rank(), place.get_world_size()
    readers = _readers(store, job["pack"])
    order = RowOrder(config.seed, [reader.rows for reader in readers], config.global_batch)
    worker = Worker(config, job["model_config"], order, readers, rank, world)
    latest = train.get_checkpoint()
    if latest is not None:
        with latest.as_directory() as folder:
            worker.load(Path(folder))

    def after_step(worker: Worker) -> None:
        done = worker.next_step
        if rank == 0:
            _post(job["board"], worker)
        if done % config.checkpoint_every_steps == 0 or done == config.steps:
            _save(worker)

    worker.run(config.steps, after_step)
    weights = worker.weights()
    if rank == 0:
        _export(job, worker, weights)
    if world > 1:
        dist.barrier()


def _readers(store: Store, pack: Output) -> list[ShardReader]:
    index = ShardIndex.read(store, f"{pack.folder}/shards")
    return [ShardReader(store, index, epoch) for epoch in range(index.epochs)]


def _post(board: Any, worker: Worker) -> None:
    record, timing = worker.history[-1], worker.timing
    rate = timing.steps * sum(record.target_counts) / max(1e-9, timing.seconds)
    board.post.remote(worker.next_step, f"loss {record.loss:.3f}  {rate:,.0f} tokens/s")


def _save(worker: Worker) -> None:
    """Every rank writes its share; Ray Train gathers the shares and publishes them together."""
    with tempfile.TemporaryDirectory(prefix="treespan-checkpoint-") as folder:
        worker.save(Path(folder))
        if worker.world > 1:
            dist.barrier()
        train.report(
            {"step": worker.next_step, "loss": worker.history[-1].loss},
            checkpoint=train.Checkpoint.from_directory(folder),
        )


def _export(job: dict[str, Any], worker: Worker, weights: dict[str, Any]) -> None:
    """Publish the checkpoint that serves, the losses, and last the list of both."""
    store, folder = job["store"], job["folder"]
    renderer = load_renderer(job["tokenize"])
    history, config = worker.history, worker.config
    targets = sum(sum(record.target_counts) for record in history)
    counts = {
        "steps": len(history),
        "target_tokens": targets,
        "parameters": worker.model_config.num_parameters,
        "first_loss": round(history[0].loss, 6),
        "final_loss": round(_mean_of_last(history), 6),
        "final_loss_by_objective": _final_by_objective(history),
    }
    files: list[FileEntry] = []
    with tempfile.TemporaryDirectory(prefix="treespan-export-") as temporary:
        provenance = {"train": config.decisive(), "counts": counts}
        save_checkpoint(
            Path(temporary),
            worker.model_config,
            weights,
            renderer.tokenizer,
            renderer.format,
            provenance,
        )
        for path in sorted(Path(temporary).iterdir()):
            files.append(store.write_bytes(f"{folder}/checkpoint/{path.name}", path.read_bytes()))
    rows = (_loss_row(record) for record in history)
    files.append(store.write_table(f"{folder}/losses.arrow", LOSSES, batches(LOSSES, rows)))
    timing = worker.timing
    per_step = targets / len(history)
    measures = {
        # A process that only had to export, since the one before was killed, has timed nothing.
        "tokens_per_second": _rate(timing.steps * per_step, timing.seconds, 1),
        "data_wait_share": _rate(timing.data_wait_seconds, timing.seconds, 5),
        "workers": worker.world,
        "finished_at": int(time.time()),
    }
    entries = [entry.to_dict() for entry in files]
    outcome = {"files": entries, "counts": counts, "measures": measures}
    store.write_bytes(job["exported"], json.dumps(outcome).encode())


def _rate(amount: float, seconds: float, digits: int) -> float | None:
    return round(amount / seconds, digits) if seconds else None


def _loss_row(record: Any) -> dict[str, Any]:
    by_objective = {
        f"loss_{name}": total / count if count else None
        for name, total, count in zip(
            OBJECTIVES, record.loss_sums, record.target_counts, strict=True
        )
    }
    return {
        "step": record.step,
        "learning_rate": record.learning_rate,
        "gradient_norm": record.gradient_norm,
        "loss": record.loss,
        **by_objective,
        "target_tokens": sum(record.target_counts),
    }


_LAST = 20
"""Final losses are means over this many last steps: a single step's loss is noise."""


def _mean_of_last(history: list[Any]) -> float:
    last = history[-_LAST:]
    return sum(sum(r.loss_sums) for r in last) / max(1, sum(sum(r.target_counts) for r in last))


def _final_by_objective(history: list[Any]) -> dict[str, float]:
    last = history[-_LAST:]
    found: dict[str, float] = {}
    for index, name in enumerate(OBJECTIVES):
        count = sum(record.target_counts[index] for record in last)
        if count:
            found[name] = round(sum(record.loss_sums[index] for record in last) / count, 6)
    return found
