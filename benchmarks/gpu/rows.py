"""Random rows of packed documents, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from treespan.model.attention import document_ids


def random_documents(rows: int, seq_len: int, documents: int) -> Tensor:
    """int64 ``[rows, seq_len]``: ``documents`` in each row, cut at random places."""
    generator = torch.Generator().manual_seed(documents)
    lengths = []
    for _ in range(rows):
        cuts = torch.randperm(seq_len - 1, generator=generator)[: documents - 1] + 1
        ends = torch.cat((torch.tensor([0]), cuts.sort().values, torch.tensor([seq_len])))
        lengths.append(ends.diff().tolist())
    return document_ids(lengths, seq_len)


def seconds(call: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The least time of ``repeats`` calls after one that does not count.

    Wall time of a GPU's work; on a CPU processor time, since others may run there too.
    """
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    best = float("inf")
    for attempt in range(repeats + 1):
        synchronize(device)
        started = clock()
        call()
        synchronize(device)
        if attempt:
            best = min(best, clock() - started)
    return best


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
