"""The training step: Ray Train places, watches and restarts the workers that ``loop`` describes."""

from __future__ import annotations

import uuid
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from treespan.jobs.pack.shard_index import ShardIndex
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.jobs.train.config import ExecutionConfig, TrainConfig
from treespan.jobs.train.metrics.trackers import prepared
from treespan.jobs.train.outcome import publish
from treespan.jobs.train.ray_worker import STATES, Job, refusal, train_worker
from treespan.jobs.train.start import starting_point
from treespan.jobs.train.train_state import TrainStates
from treespan.platform.progress_board import watched_board
from treespan.platform.steps import Context, Result, Step


def make_step(config: TrainConfig) -> Step:
    """``checkpoint/`` (what serves), ``losses.arrow`` and ``timings.arrow`` (one row per step)."""
    return Step(
        name="train",
        version=3,
        params=config.decisive(),
        inputs=("sample", "tokenize", "pack"),
        cpus=config.execution.min_workers * config.execution.cpus_per_worker,
        run=lambda context: _run(context, config),
    )


def _run(context: Context, config: TrainConfig) -> Result:
    store, inputs = context.store, context.inputs
    renderer = load_renderer(inputs["tokenize"])
    start = starting_point(config, renderer.tokenizer)
    index = ShardIndex.read(store, f"{inputs['pack'].folder}/shards")
    steps = config.total_steps(index.seq_len)
    states = TrainStates(store, f"{context.work}/{STATES}")
    if not _is_done(states, steps):
        with watched_board(context.progress, "train", steps) as board:
            _fit(
                Job(
                    config=config.model_copy(update={"metrics": prepared(config.metrics)}),
                    start=start,
                    store=store,
                    work=context.work,
                    seq_len=index.seq_len,
                    pack=inputs["pack"],
                    sample=inputs["sample"],
                    board=board,
                    run_name=context.folder.rpartition("/")[2],
                )
            )
    if (refused := refusal(store, context.work)) is not None:
        raise refused
    return publish(context, config, start, renderer, states, states.complete()[0])


def _is_done(states: TrainStates, steps: int) -> bool:
    complete = states.complete()
    return bool(complete) and complete[0].step == steps


def _fit(job: Job) -> None:
    execution = job.config.execution
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if execution.use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=_num_workers(execution),
            use_gpu=execution.use_gpu,
            resources_per_worker=_resources(job.config),
        ),
        run_config=RunConfig(
            # What a run goes on from are our own states; Ray must not find an older run of its.
            name=f"ray-train-{uuid.uuid4().hex[:8]}",
            storage_path=job.store.path(job.work),
            storage_filesystem=job.store.fs,
            failure_config=FailureConfig(max_failures=job.config.max_failures),
        ),
    )
    trainer.fit()


def _resources(config: TrainConfig) -> dict[str, Any]:
    resources: dict[str, Any] = {"CPU": config.execution.cpus_per_worker}
    if config.execution.use_gpu:
        resources["GPU"] = 1
    return resources


def _num_workers(execution: ExecutionConfig) -> Any:
    """A number, or Ray's range of them."""
    return execution.num_workers
