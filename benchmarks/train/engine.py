"""DeepSpeed as the training step sets it up, around any model that returns a loss."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import torch.distributed as dist
from torch import nn

from treespan.jobs.train.config import ExecutionConfig, TrainConfig
from treespan.jobs.train.engine import engine_around


def join_one_process_group() -> None:
    """Make this process a group of its own, which DeepSpeed needs."""
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    rendezvous = os.path.join(tempfile.mkdtemp(), "group")
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1)


def deepspeed_engine(model: nn.Module, micro_batch: int) -> Any:
    """What a recipe's defaults give one worker: ZeRO 2, bfloat16, fused AdamW, clipping."""
    config = TrainConfig(
        steps=1,
        global_batch=micro_batch,
        execution=ExecutionConfig(num_workers=1, micro_batch=micro_batch),
    )
    return engine_around(model, config, 1)
