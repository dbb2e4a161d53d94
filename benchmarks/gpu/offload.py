"""ZeRO-3 with the optimizer in the host's memory: a model whose training does not fit the device."""

from __future__ import annotations

import time

import torch
from benchmarks.gpu.engine import start_engine
from benchmarks.gpu.environment import host_bytes
from benchmarks.gpu.figures import Recorder
from benchmarks.gpu.rows import synchronize
from benchmarks.gpu.scales import Scale
from benchmarks.gpu.training_speed import one_step

from treespan.model.config import ModelConfig

HOST_BYTES = 18
"""Of a parameter: weight, two moments and gradient in float32, and a transfer buffer."""
HOST_SHARE = 0.85
STEPS = 3


def measure(scale: Scale, found: Recorder) -> None:
    """A few steps; as many of the model's blocks as the host has memory for."""
    shape = fitted(scale.offloaded, HOST_SHARE * host_bytes())
    found.show("blocks", f"{shape.num_layers} of {scale.offloaded.num_layers}")
    found.show("parameters", shape.num_parameters / 1e9, "10^9")
    engine = start_engine(
        shape,
        scale.device,
        micro_batch=1,
        zero_stage=3,
        offload=True,
        recompute=True,
        compiled=False,
    )
    seq_len = scale.offloaded_seq_len
    step = one_step(engine, 1, seq_len, shape.vocab_size, documents=4)
    first = float(step())
    for number in range(STEPS):
        synchronize(scale.device)
        started = time.perf_counter()
        loss = float(step())
        taken = time.perf_counter() - started
        found.show(f"step {number + 2}", taken, "s")
        found.at_most(f"loss of step {number + 2}, below that of the first", loss, first)
    found.show("tokens per second", seq_len / taken)
    if scale.device.type == "cuda":
        most = torch.cuda.max_memory_allocated(scale.device)
        found.show("most memory taken on the device", most / 1e9, "GB")


def fitted(shape: ModelConfig, available: float) -> ModelConfig:
    """``shape`` with as many blocks as ``available`` bytes hold, one at least."""
    others = shape.num_parameters - shape.num_layers * shape.layer_parameters
    fitting = int((available / HOST_BYTES - others) // shape.layer_parameters)
    layers = max(1, min(shape.num_layers, fitting))
    return shape.model_copy(update={"num_layers": layers})
