"""The trainer's own model and engine on one device: the one place that knows how they are called."""

from __future__ import annotations

import os
import socket
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from treespan.jobs.train.config import ExecutionConfig, TrainConfig
from treespan.jobs.train.engine import building, initialize, leave_out_compiled_operators
from treespan.jobs.train.loss_model import LossModel
from treespan.model.attention import document_positions
from treespan.model.config import ModelConfig
from treespan.model.packed_attention import packed_rows
from treespan.model.transformer import Transformer


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
    config = TrainConfig(
        steps=1,
        global_batch=micro_batch,
        execution=ExecutionConfig.model_validate(
            {
                "num_workers": 1,
                "use_gpu": device.type == "cuda",
                "micro_batch": micro_batch,
                "zero_stage": zero_stage,
                "offload": "cpu" if offload else "none",
            }
        ),
    )
    _be_alone(device)
    # What is offloaded must not be made on the device first.
    with building(config, 1), nullcontext() if offload else device:
        model = LossModel(Transformer(shape), config.heads)
    model.transformer.checkpoint_activations = recompute
    if compiled:
        for block in model.transformer.model.layers:
            block.compile(dynamic=False)
    engine = initialize(model, config, 1)
    engine.train()
    return engine


def step(engine: Any, tokens: Tensor, targets: Tensor, documents: Tensor) -> Tensor:
    """One optimizer step on ``[B, T]`` tokens; ``documents`` are on the CPU. Gives the mean loss."""
    device = engine.device
    _, total, _ = engine(
        tokens,
        document_positions(documents).to(device),
        packed_rows(documents, device=device),
        targets,
        documents.to(device),
        torch.full(tokens.shape, float("nan"), device=device),
    )
    engine.backward(total / tokens.numel())
    engine.step()
    mean: Tensor = total.detach() / tokens.numel()
    return mean


def _be_alone(device: torch.device) -> None:
    import deepspeed

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    os.environ.update(alone, MASTER_PORT=str(port))
    leave_out_compiled_operators()
    backend = "nccl" if device.type == "cuda" else "gloo"
    deepspeed.init_distributed(backend, auto_mpi_discovery=False, verbose=False)
