"""The one place that knows how a model is wrapped for training."""

from __future__ import annotations

import os
import socket
from typing import Any

import torch
from torch import Tensor, nn

from treespan.model.attention import PackedRows
from treespan.model.config import ModelConfig
from treespan.model.loss import token_losses
from treespan.model.transformer import Transformer


class _MeanLoss(nn.Module):
    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, tokens: Tensor, positions: Tensor, rows: PackedRows, targets: Tensor
    ) -> Tensor:
        """The mean loss, float32 []."""
        hidden = self.transformer(tokens, positions, rows)
        return token_losses(hidden, self.transformer.output_weight, targets).mean()


def start_engine(
    shape: ModelConfig,
    device: torch.device,
    *,
    micro_batch: int,
    zero_stage: int,
    offload: bool,
    recompute: bool,
    compiled: bool,
) -> Any:
    """DeepSpeed around a model with torch's own fresh weights: bfloat16, AdamW in float32."""
    import deepspeed
    import deepspeed.ops

    # Would be compiled at start; one process needs no exchange.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    _be_alone(device)
    zero: dict[str, Any] = {"stage": zero_stage}
    if offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": device.type == "cuda"}
    settings = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0,
        "bf16": {"enabled": True},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
    splitting = deepspeed.zero.Init(
        config_dict_or_path=settings, dtype=torch.bfloat16, enabled=zero_stage == 3
    )
    with splitting, device:
        model = _MeanLoss(Transformer(shape))
    model.transformer.checkpoint_activations = recompute
    if compiled:
        for block in model.transformer.model.layers:
            block.compile(dynamic=False)
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True),
        config=settings,
    )
    if zero_stage == 3:
        # The loss reads the output projection outside of the layer that owns it.
        deepspeed.zero.register_external_parameter(model, model.transformer.lm_head.weight)
    engine.train()
    return engine


def _be_alone(device: torch.device) -> None:
    import deepspeed

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ.update(alone, MASTER_PORT=str(port))
    backend = "nccl" if device.type == "cuda" else "gloo"
    deepspeed.init_distributed(backend, auto_mpi_discovery=False, verbose=False)
