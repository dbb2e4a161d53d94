"""One measured training run: the real model under the real engine, on rows of random tokens.

    python -m benchmarks.plan.one_run '{"preset": "nano", ...}'

Every worker of the run is one such process; rank 0 prints what it measured as JSON. Nothing but
this module knows how the trainer builds its engine.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from treespan.model.attention import document_ids, document_mask, document_positions
from treespan.model.config import preset
from treespan.model.loss import token_losses
from treespan.model.transformer import Transformer, init_weights


class _Loss(nn.Module):
    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, tokens: Tensor, positions: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        hidden = self.transformer(tokens, positions, mask)
        return token_losses(hidden, self.transformer.output_weight, targets)


def engine_of(model: nn.Module, micro_batch: int, accumulation: int, zero_stage: int) -> Any:
    """DeepSpeed around ``model``, as ``treespan.jobs.train`` sets it up."""
    import deepspeed
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95))
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        config={
            "train_micro_batch_size_per_gpu": micro_batch,
            "gradient_accumulation_steps": accumulation,
            "gradient_clipping": 1.0,
            "bf16": {"enabled": True},
            "data_types": {"grad_accum_dtype": "fp32"},
            "zero_optimization": {"stage": zero_stage},
            "steps_per_print": 10**9,
        },
    )
    return engine


def run(asked: dict[str, Any]) -> dict[str, Any]:
    """Least seconds of a step, of the clock and of the processor, and this process's peak bytes."""
    torch.set_num_threads(asked["threads"])
    rank = int(os.environ["RANK"])
    import deepspeed

    deepspeed.init_distributed("gloo", verbose=False)
    config = preset(asked["preset"], vocab_size=asked["vocab_size"])
    seq_len, micro_batch, passes = asked["seq_len"], asked["micro_batch"], asked["passes"]
    transformer = Transformer(config)
    init_weights(transformer, 0)
    transformer.checkpoint_activations = asked["checkpoint_activations"]
    engine = engine_of(_Loss(transformer), micro_batch, passes, asked["zero_stage"])
    engine.train()
    draw = torch.Generator().manual_seed(rank)
    rows = torch.randint(0, config.vocab_size, (micro_batch, seq_len + 1), generator=draw)
    documents = document_ids([[seq_len]] * micro_batch, seq_len)
    wall, cpu = [], []
    for _ in range(asked["steps"]):
        dist.barrier()
        started, began = time.perf_counter(), time.process_time()
        for _ in range(passes):
            losses = engine(
                rows[:, :-1], document_positions(documents), document_mask(documents), rows[:, 1:]
            )
            engine.backward(losses.mean())
            engine.step()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - began)
    return {
        "wall_s": min(wall[1:]),
        "cpu_s": min(cpu[1:]),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    found = run(json.loads(sys.argv[1]))
    if os.environ["RANK"] == "0":
        print(json.dumps(found))
    dist.destroy_process_group()
