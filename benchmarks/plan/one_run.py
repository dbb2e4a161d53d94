"""One worker of a measured training run: the trainer's own model and engine, on random tokens.

    python -m benchmarks.plan.one_run '{"train": {...}, "vocab_size": 4096, ...}'

Rank 0 prints what it measured as JSON. Nothing but this module knows how the trainer builds its
engine and calls its model.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import torch
import torch.distributed as dist

from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.engine import building, initialize, leave_out_compiled_operators
from treespan.jobs.train.loss_model import LossModel
from treespan.jobs.train.memory import peak_memory_bytes
from treespan.model.attention import document_ids, document_positions
from treespan.model.packed_attention import packed_rows
from treespan.model.transformer import Transformer


def run(asked: dict[str, Any]) -> dict[str, float]:
    """Least seconds of a step, of the clock and of this process, and its peak bytes."""
    import deepspeed

    config = TrainConfig.model_validate(asked["train"])
    execution = config.execution
    torch.set_num_threads(execution.cpus_per_worker)
    leave_out_compiled_operators()
    deepspeed.init_distributed("gloo", verbose=False)
    rank, world = dist.get_rank(), dist.get_world_size()
    shape = config.shape(asked["vocab_size"])
    with building(config, world):
        model = LossModel(Transformer(shape), config.heads)
    model.transformer.checkpoint_activations = execution.checkpoint_activations
    engine = initialize(model, config, world)
    engine.train()
    rows, seq_len = execution.micro_batch, asked["seq_len"]
    draw = torch.Generator().manual_seed(rank)
    tokens = torch.randint(0, shape.vocab_size, (rows, seq_len + 1), generator=draw)
    documents = document_ids([[seq_len]] * rows, seq_len)
    middle_left = torch.full((rows, seq_len), float("nan"))
    wall, cpu = [], []
    for _ in range(asked["steps"]):
        dist.barrier()
        started, began = time.perf_counter(), time.process_time()
        for _ in range(execution.passes(config.global_batch, world)):
            _, total, _ = engine(
                tokens[:, :-1],
                document_positions(documents),
                packed_rows(documents, execution.attention),
                tokens[:, 1:],
                documents,
                middle_left,
            )
            engine.backward(total / tokens.numel())
            engine.step()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - began)
    return {
        # The first step allocates the optimizer's state.
        "wall_s": min(wall[1:]),
        "cpu_s": min(cpu[1:]),
        "peak_bytes": peak_memory_bytes(torch.device("cpu")),
    }


if __name__ == "__main__":
    found = run(json.loads(sys.argv[1]))
    if os.environ["RANK"] == "0":
        print(json.dumps(found))
    dist.destroy_process_group()
