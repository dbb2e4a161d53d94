"""The training loop of one worker: DeepSpeed around our model, rows from the shards. No Ray here.

What makes a resume exact: the row of every place is a function of the step (``row_order``), the
learning rate is one too, nothing in the model draws random numbers, and a checkpoint holds the
float32 weights and the optimizer's state as they are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.row_order import RowOrder
from treespan.jobs.train.schedule import learning_rate
from treespan.jobs.train.shard_reader import Batch, ShardReader, batch_of
from treespan.model.attention import document_ids, document_mask, document_positions
from treespan.model.config import ModelConfig
from treespan.model.loss import IGNORED, token_losses
from treespan.model.objectives import OBJECTIVES
from treespan.model.transformer import Transformer, init_weights
from treespan.platform.errors import UserError

_TAG = "deepspeed"


@dataclass
class StepRecord:
    """What one step did. Sums are over the tokens of the whole global batch."""

    step: int
    learning_rate: float
    gradient_norm: float
    loss_sums: list[float]  # nats, by objective
    target_counts: list[int]

    @property
    def loss(self) -> float:
        """Mean loss in nats per target token."""
        return sum(self.loss_sums) / max(1, sum(self.target_counts))


@dataclass
class Timing:
    """Where the wall time of this process went; never part of a checkpoint."""

    steps: int = 0
    seconds: float = 0.0
    data_wait_seconds: float = 0.0


class LossModel(nn.Module):
    """The transformer with its loss, as DeepSpeed wants it: all weights used in one forward."""

    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        """Losses float32 [B, T] of predicting ``targets`` [B, T], 0 where they are ignored."""
        hidden = self.transformer(tokens, positions, mask)
        return token_losses(hidden, self.transformer.output_weight, targets)


@dataclass
class Worker:
    """One rank's model, data and history."""

    config: TrainConfig
    model_config: ModelConfig
    order: RowOrder
    readers: Sequence[ShardReader]  # one per packed epoch
    rank: int
    world: int
    history: list[StepRecord] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)

    def __post_init__(self) -> None:
        model = LossModel(Transformer(self.model_config))
        init_weights(model.transformer, self.config.seed)
        self.engine = _deepspeed_engine(model, self.config)

    @property
    def next_step(self) -> int:
        """The step that comes next, counted from 0."""
        return len(self.history)

    def run(self, until: int, after_step: Callable[[Worker], None]) -> None:
        """Train up to (not including) step ``until``; ``after_step`` is called after each."""
        self.engine.train()
        while self.next_step < until:
            started = time.perf_counter()
            record = self._step(self.next_step)
            if not math.isfinite(record.loss):
                raise UserError(
                    f"the training loss is {record.loss} at step {record.step}.",
                    "Lower train.optimizer.learning_rate, or warm up for longer.",
                )
            self.history.append(record)
            self.timing.seconds += time.perf_counter() - started
            self.timing.steps += 1
            after_step(self)

    def _step(self, step: int) -> StepRecord:
        config = self.config
        rate = learning_rate(step, config.steps, config.optimizer)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        places = self.order.rows_of_rank(step, self.rank, self.world)
        sums = torch.zeros(2, len(OBJECTIVES), dtype=torch.float64)
        for start in range(0, len(places), config.micro_batch):
            waiting = time.perf_counter()
            chosen = places[start : start + config.micro_batch]
            batch = batch_of([self.readers[epoch].row(row) for epoch, row in chosen])
            self.timing.data_wait_seconds += time.perf_counter() - waiting
            losses, targets = self._losses(batch)
            # The divisor is the same for every step and worker, so how rows are spread over workers
            # and micro batches changes nothing; DeepSpeed averages over both, hence the factor.
            scale = self.world * config.accumulation / (config.global_batch * losses.shape[1])
            self.engine.backward(losses.sum() * scale)
            self.engine.step()
            sums += _sums_by_objective(losses.detach(), targets, batch)
        if self.world > 1:
            dist.all_reduce(sums)
        norm = self.engine.get_global_grad_norm()
        return StepRecord(
            step=step,
            learning_rate=rate,
            gradient_norm=float(norm) if norm is not None else float("nan"),
            loss_sums=sums[0].tolist(),
            target_counts=[int(count) for count in sums[1].tolist()],
        )

    def _losses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        tokens = torch.from_numpy(batch.tokens)
        documents = document_ids(batch.document_lengths, tokens.shape[1])
        positions = document_positions(documents)
        targets = torch.full_like(tokens, IGNORED)
        wanted = torch.from_numpy(batch.loss_mask)[:, 1:]
        targets[:, :-1] = torch.where(wanted, tokens[:, 1:], IGNORED)
        device = self.engine.device
        losses: Tensor = self.engine(
            tokens.to(device),
            positions.to(device),
            document_mask(documents).to(device),
            targets.to(device),
        )
        return losses, targets

    def save(self, folder: Path) -> None:
        """Write this rank's share of a checkpoint to ``folder``; every rank must call it."""
        state = {
            "history": [vars(record) for record in self.history],
            # Names the parts for DeepSpeed's converter to its universal format.
            "universal_checkpoint_info": {"universal_checkpoint_version": 0.2},
        }
        self.engine.save_checkpoint(str(folder), tag=_TAG, client_state=state)

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint that the same number of workers wrote."""
        if not (folder / _TAG).is_dir():
            raise FileNotFoundError(f"{folder} holds no checkpoint of a training run")
        _, state = self.engine.load_checkpoint(str(folder), tag=_TAG)
        self.history = [StepRecord(**record) for record in state["history"]]

    def weights(self) -> dict[str, Tensor]:
        """The model's weights, whole and in bfloat16; every rank must call it."""
        import deepspeed

        model: LossModel = self.engine.module
        with deepspeed.zero.GatheredParameters(
            list(model.parameters()), enabled=self.config.zero_stage == 3
        ):
            return {
                name: tensor.detach().to(torch.bfloat16).cpu().clone()
                for name, tensor in model.transformer.state_dict().items()
            }


def _sums_by_objective(losses: Tensor, targets: Tensor, batch: Batch) -> Tensor:
    """float64 [2, objectives]: sums of losses and counts of targets."""
    # The loss at t is of the token at t + 1, so it belongs to that token's objective.
    objectives = torch.from_numpy(np.roll(batch.objectives, -1, axis=1))
    counted = (targets != IGNORED).flatten()
    index = objectives.flatten()[counted]
    sums = torch.zeros(2, len(OBJECTIVES), dtype=torch.float64)
    sums[0].index_add_(0, index, losses.cpu().flatten()[counted].double())
    sums[1].index_add_(0, index, torch.ones(len(index), dtype=torch.float64))
    return sums


def _deepspeed_engine(model: LossModel, config: TrainConfig) -> Any:
    import deepspeed
    import deepspeed.ops

    # Would be compiled at start (a minute, and only with a compiler); gloo does the same work.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    decaying = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decaying, "weight_decay": config.optimizer.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=config.optimizer.learning_rate,
        betas=(config.optimizer.beta1, config.optimizer.beta2),
    )
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        config={
            "train_micro_batch_size_per_gpu": config.micro_batch,
            "gradient_accumulation_steps": config.accumulation,
            "gradient_clipping": config.optimizer.gradient_clip,
            "bf16": {"enabled": True},
            "data_types": {"grad_accum_dtype": "fp32"},
            "zero_optimization": {"stage": config.zero_stage},
            "steps_per_print": 10**9,
        },
    )
    if config.zero_stage == 3:
        # The loss reads the output projection outside of the layer that owns it.
        deepspeed.zero.register_external_parameter(
            engine.module, engine.module.transformer.lm_head.weight
        )
    return engine
