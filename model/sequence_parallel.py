"""Rows that several workers share: DeepSpeed-Ulysses (arXiv 2309.14509).

Each of P workers holds T / P neighbouring tokens of every row, through all of the model but
attention. There it gives away its tokens of all heads and gets all tokens of its share of the
heads, by one all-to-all exchange before and one after; what a worker sends is 1 / P of what it
holds, however long the row. Attention itself never knows.

Legend: B rows, T tokens in a row, P workers that share it, H query heads, K key heads, d head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from treespan.model.attention import PackedRows, attend
from treespan.model.config import ModelConfig
from treespan.platform.errors import UserError


@dataclass(frozen=True)
class SequenceGroup:
    """The workers that share rows with this one."""

    process_group: dist.ProcessGroup
    rank: int
    """This worker's place among them, from 0: it holds that part of each row."""
    size: int

    def part(self, rows: Tensor) -> Tensor:
        """What this worker holds of ``[B, T, ...]``: ``[B, T / P, ...]``, a view."""
        return rows.chunk(self.size, dim=1)[self.rank]


def check_shareable(config: ModelConfig, seq_len: int, size: int) -> None:
    """Raise ``UserError`` unless ``size`` workers can share rows of ``seq_len`` tokens."""
    if seq_len % size:
        raise UserError(
            f"rows of {seq_len} tokens cannot be shared by {size} workers.",
            "Choose pack.seq_len and execution.sequence_parallel so that they divide.",
        )
    if config.num_heads % size:
        raise UserError(
            f"{config.num_heads} heads cannot be shared by {size} workers.",
            "Set execution.sequence_parallel to a divisor of the number of heads.",
        )


def sequence_group(size: int) -> SequenceGroup:
    """The group of this worker, where each ``size`` ranks that follow each other share rows.

    Every worker must call it. ``size`` must divide the number of workers; neighbours are on one
    node, where links are fastest.
    """
    world, rank = dist.get_world_size(), dist.get_rank()
    if world % size:
        raise UserError(
            f"{world} workers cannot share rows by {size}.",
            "Set execution.sequence_parallel to a divisor of num_workers.",
        )
    mine: Any = None
    for first in range(0, world, size):
        made = dist.new_group(range(first, first + size))
        if first <= rank < first + size:
            mine = made
    return SequenceGroup(mine, rank % size, size)


class SharedRows(PackedRows):
    """Rows whose tokens are spread over a group; ``mask`` is of the whole rows, as in ``attend``.

    Key heads that are fewer than the workers, or do not divide, are repeated up to the least
    common multiple of both, so that a worker has the key heads of its query heads.
    """

    def __init__(self, mask: Tensor | PackedRows | None, group: SequenceGroup) -> None:
        self._mask = mask
        self._group = group

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``[B, H, T / P, d]`` of query ``[B, H, T / P, d]``, key and value ``[B, K, T / P, d]``."""
        size = self._group.size
        repeats = math.lcm(key.shape[1], size) // key.shape[1]
        if repeats > 1:
            key, value = (heads.repeat_interleave(repeats, dim=1) for heads in (key, value))
        # [P, B, heads of one worker, T / P, d]: what goes to each worker, all in one message.
        shares = [torch.stack(heads.chunk(size, dim=1)) for heads in (query, key, value)]
        received = self._exchange(torch.cat(shares, dim=2))
        counts = [share.shape[2] for share in shares]
        # The workers' parts of the row stand in order.
        whole = [
            heads.movedim(0, 2).flatten(2, 3) for heads in torch.split(received, counts, dim=2)
        ]
        mixed = attend(whole[0], whole[1], whole[2], self._mask)
        returned = self._exchange(torch.stack(mixed.chunk(size, dim=2)))
        return returned.movedim(0, 1).flatten(1, 2)

    def _exchange(self, parts: Tensor) -> Tensor:
        apply: Any = _Exchange.apply
        exchanged: Tensor = apply(parts, self._group.process_group)
        return exchanged


class _Exchange(torch.autograd.Function):
    """``[P, ...]``: part i goes to worker i, and part i of the result is from worker i."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        sent = parts.contiguous()
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent, group=group)
        return received

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None]:
        # The exchange is its own transpose.
        apply: Any = _Exchange.apply
        return apply(upstream[0], ctx.group), None
