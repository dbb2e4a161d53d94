"""Tokens per second and the share of the device's peak, of whole optimizer steps on one device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from benchmarks.gpu.engine import start_engine, step
from benchmarks.gpu.figures import Recorder
from benchmarks.gpu.rows import random_documents, seconds
from benchmarks.gpu.scales import Scale, Training
from torch import Tensor

from treespan.jobs.train.hardware import peak_flops

DOCUMENT = 1024
"""Mean tokens of a document in packed rows; two at least."""
SLOWEST = 1.05


def measure(scale: Scale, found: Recorder, case: str) -> None:
    """The case of this name: rows of one document each, and packed ones."""
    training = {one.name: one for one in scale.training}[case]
    engine = start_engine(
        training.model,
        scale.device,
        micro_batch=training.micro_batch,
        zero_stage=1,
        offload=False,
        recompute=training.recompute,
        compiled=training.compiled,
    )
    tokens = training.micro_batch * training.seq_len
    whole = _time(engine, training, scale, documents=1)
    found.show("tokens per second", tokens / whole)
    operations = training.model.flops_per_token(training.seq_len) * tokens / whole
    found.show("operations per second", operations / 1e12, "TFLOP/s")
    peak = peak_flops(scale.device) or float("nan")  # of a GPU that the table does not have
    what = f"share of the peak of {peak / 1e12:.4g} TFLOP/s (MFU)"
    if training.target is None:
        found.show(what, operations / peak)
    else:
        found.at_least(what, operations / peak, training.target)
    packed = _time(engine, training, scale, documents=max(2, training.seq_len // DOCUMENT))
    found.show("tokens per second, packed documents", tokens / packed)
    if scale.device.type == "cuda":
        found.at_most("time of packed rows / of whole rows", packed / whole, SLOWEST)
        found.show("most memory taken", torch.cuda.max_memory_allocated(scale.device) / 1e9, "GB")


def _time(engine: Any, training: Training, scale: Scale, documents: int) -> float:
    """Seconds of a step."""
    run = one_step(
        engine, training.micro_batch, training.seq_len, training.model.vocab_size, documents
    )
    run()
    return seconds(run, scale.device, scale.steps)


def one_step(
    engine: Any, rows: int, seq_len: int, vocab_size: int, documents: int
) -> Callable[[], Tensor]:
    """An optimizer step on random rows, the same at every call; gives its loss."""
    tokens = torch.randint(vocab_size, (rows, seq_len), device=engine.device)
    ids = random_documents(rows, seq_len, documents)
    return partial(step, engine, tokens, tokens.roll(-1, 1), ids)
