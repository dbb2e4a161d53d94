"""The training step: Ray Train places, watches and restarts the workers that ``loop`` describes."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from treespan.jobs.pack.shard_index import ShardIndex
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.metrics.trackers import prepared
from treespan.jobs.train.outcome import publish
from treespan.jobs.train.ray_worker import STATES, Job, refusal, train_worker
from treespan.jobs.train.start import shape_of_start, starting_point
from treespan.jobs.train.train_state import DamagedStateError, TrainStates
from treespan.model.lora import add_adapters
from treespan.model.sequence_parallel import check_shareable
from treespan.model.starting_weights import weights_fingerprint
from treespan.model.transformer import Transformer
from treespan.platform.errors import UserError
from treespan.platform.progress_board import watched_board
from treespan.platform.steps import Context, Result, Step

_ANY_VOCABULARY = 1024
"""Where only the shape of blocks counts."""


def make_step(config: TrainConfig, seq_len: int) -> Step:
    """``checkpoint/`` (what serves), ``losses.arrow`` and ``timings.arrow`` (one row per step)."""
    return Step(
        name="train",
        version=3,
        params=config.decisive(),
        inputs=("sample", "tokenize", "pack"),
        cpus=config.execution.min_workers * config.execution.cpus_per_worker,
        run=lambda context: _run(context, config),
        fingerprint=lambda _: config.start_from and weights_fingerprint(config.start_from),
        check=lambda: _check(config, seq_len),
    )


def _check(config: TrainConfig, seq_len: int) -> None:
    """Raise ``UserError`` for what would end the step, before any other step has run."""
    prepared(config.metrics)
    execution = config.execution
    if execution.nvme_folder is not None and not Path(execution.nvme_folder).is_dir():
        raise UserError(
            f"train.execution.nvme_folder: there is no folder {execution.nvme_folder} here.",
            "Name one that is there on every node.",
        )
    if config.start_from is None:
        shape = config.shape(_ANY_VOCABULARY)
    else:
        shape = shape_of_start(config.start_from, seq_len)
    check_shareable(shape, seq_len, execution.sequence_parallel)
    if config.lora is not None:
        with torch.device("meta"):
            add_adapters(Transformer(shape), config.lora.adapters(), config.seed)


def _run(context: Context, config: TrainConfig) -> Result:
    store, inputs = context.store, context.inputs
    renderer = load_renderer(inputs["tokenize"])
    start = starting_point(config, renderer.tokenizer)
    index = ShardIndex.read(store, f"{inputs['pack'].folder}/shards")
    check_shareable(start.model_config, index.seq_len, config.execution.sequence_parallel)
    steps = config.total_steps(index.seq_len)
    states = TrainStates(store, f"{context.work}/{STATES}")
    refusal(store, context.work)  # what an earlier try has left
    while True:
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
        if not _is_done(states, steps):
            raise UserError(
                "the last training state could not be saved, so there is nothing to publish.",
                "Make room in the store and run again: training goes on from the state before.",
            )
        final = states.complete()[0]
        try:
            return publish(context, config, start, renderer, states, final)
        except DamagedStateError as damage:
            context.progress.say(f"The last training state is damaged, so back: {damage}.")
            states.forget(final)


def _is_done(states: TrainStates, steps: int) -> bool:
    complete = states.complete()
    return bool(complete) and complete[0].step == steps


def _fit(job: Job) -> None:
    execution = job.config.execution
    num_workers: Any = execution.num_workers  # a number, or Ray's range of them
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend="nccl" if execution.use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=num_workers,
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
    try:
        trainer.fit()
    finally:
        # What a worker was refused for says more than that it ended.
        if (refused := refusal(job.store, job.work)) is not None:
            raise refused from None


def _resources(config: TrainConfig) -> dict[str, Any]:
    resources: dict[str, Any] = {"CPU": config.execution.cpus_per_worker}
    if config.execution.use_gpu:
        resources["GPU"] = 1
    return resources
