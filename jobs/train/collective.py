"""What workers tell each other beside gradients: sums, and what the first one decides."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Collective:
    """Calls that every worker must make; with one worker they do nothing.

    NCCL speaks of tensors on the GPU only, so they go through ``device``.
    """

    def __init__(self, world: int, device: torch.device) -> None:
        self.world = world
        """How many workers there are."""
        self._device = device

    def sum(self, values: Tensor) -> Tensor:
        """The sum of ``values`` over all workers, where ``values`` are; they stay as they are."""
        if self.world == 1:
            return values
        total = values.to(self._device, copy=True)
        dist.all_reduce(total)
        return total.to(values.device)

    def any(self, mine: bool) -> bool:
        """Whether it is so on any worker."""
        return bool(self.sum(torch.tensor(float(mine))))

    def first(self, value: Any) -> Any:
        """What the first worker has: plain values."""
        shared = [value]
        if self.world > 1:
            dist.broadcast_object_list(shared, 0, device=self._device)
        return shared[0]

    def barrier(self) -> None:
        """Wait for all."""
        self.sum(torch.zeros(()))
