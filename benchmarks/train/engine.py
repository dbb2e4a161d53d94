"""DeepSpeed as the training step sets it up, around any model that returns a loss."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import torch.distributed as dist
from torch import nn

from treespan.jobs.train.config import ExecutionConfig, TrainConfig
from treespan.jobs.train.engine import deepspeed_config
from treespan.jobs.train.guarded_adamw import GuardedAdamW


def join_one_process_group() -> None:
    """Make this process a group of its own, which DeepSpeed needs."""
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    rendezvous = os.path.join(tempfile.mkdtemp(), "group")
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1)


def deepspeed_engine(model: nn.Module, micro_batch: int) -> Any:
    """What a recipe's defaults give one worker: ZeRO 2, bfloat16, fused AdamW, clipping."""
    import deepspeed
    import deepspeed.ops

    # Would be compiled at start; one process has nobody to speak to.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    config = TrainConfig(
        steps=1,
        global_batch=micro_batch,
        execution=ExecutionConfig(num_workers=1, micro_batch=micro_batch),
    )
    decay = config.optimizer.weight_decay
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=GuardedAdamW(
            [
                {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": decay},
                {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=config.optimizer.learning_rate,
            betas=(config.optimizer.beta1, config.optimizer.beta2),
            fused=True,
        ),
        config=deepspeed_config(config, 1),
    )
    return engine
