"""Back ends of attention beside a causal call that knows no documents, forward and backward."""

from __future__ import annotations

import torch
from benchmarks.gpu.figures import Recorder
from benchmarks.gpu.rows import random_documents, seconds
from benchmarks.gpu.scales import Attention, Scale
from torch import Tensor

from treespan.model.attention import PackedRows, attend
from treespan.model.packed_attention import packed_rows
from treespan.platform.errors import UserError

REPEATS = 5
MOST_MASKED = 8192
"""Tokens up to which the boolean mask is tried; above, it is gigabytes."""
SLOWEST = 1.1
"""Packed rows may take so many times what whole rows take; the rest is noise."""


def measure(scale: Scale, found: Recorder) -> None:
    """Milliseconds of each back end in each case."""
    for shape in scale.attention:
        compare(shape, scale.device, found)


def compare(shape: Attention, device: torch.device, found: Recorder) -> None:
    """All back ends that the device has, at one shape in bfloat16."""
    heads = [
        torch.randn(
            shape.rows, shape.seq_len, count, shape.head_dim, dtype=torch.bfloat16, device=device
        ).requires_grad_()
        for count in (shape.heads, shape.kv_heads, shape.kv_heads)
    ]
    upstream = torch.randn_like(heads[0]).transpose(1, 2)
    name = f"{shape.rows} x {shape.seq_len}"
    whole = seconds(lambda: _both_ways(heads, upstream, None), device, REPEATS)
    found.show(f"{name}, causal", whole * 1e3, "ms")
    for documents in shape.documents:
        ids = random_documents(shape.rows, shape.seq_len, documents)
        for backend in ("sdpa", "documents", "flex", "varlen", "auto"):
            if backend == "sdpa" and shape.seq_len > MOST_MASKED:
                continue
            try:
                rows = packed_rows(ids, backend, device=device)
                taken = seconds(lambda: _both_ways(heads, upstream, rows), device, REPEATS)  # noqa: B023
            except UserError:
                continue
            what = f"{name}, {documents} documents, {backend}"
            found.show(what, taken * 1e3, "ms")
            if backend == "auto":
                found.at_most(f"{what}, times causal", taken / whole, SLOWEST)


def _both_ways(heads: list[Tensor], upstream: Tensor, rows: PackedRows | None) -> None:
    query, key, value = (tensor.transpose(1, 2) for tensor in heads)
    mixed = attend(query, key, value, rows)
    torch.autograd.grad(mixed, heads, upstream)
