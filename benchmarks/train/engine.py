"""DeepSpeed as the training step sets it up, around any model that returns a loss."""

from __future__ import annotations

import os
import tempfile
from typing import Any

import torch
import torch.distributed as dist
from torch import nn


def join_one_process_group() -> None:
    """Make this process a group of its own, which DeepSpeed needs."""
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    rendezvous = os.path.join(tempfile.mkdtemp(), "group")
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1)


def deepspeed_engine(model: nn.Module, micro_batch: int) -> Any:
    """ZeRO 2, bfloat16 with float32 sums, torch's fused AdamW, clipping: the defaults of a recipe."""
    import deepspeed
    import deepspeed.ops

    # Would be compiled at start; one process has nobody to speak to.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.1},
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=3e-4,
        betas=(0.9, 0.95),
        fused=True,
    )
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        config={
            "train_micro_batch_size_per_gpu": micro_batch,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": 1.0,
            "bf16": {"enabled": True},
            "data_types": {"grad_accum_dtype": "fp32"},
            "zero_optimization": {"stage": 2},
            "steps_per_print": 10**9,
        },
    )
    return engine
