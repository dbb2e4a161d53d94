"""Which row goes into which place of which step: a pure function, whatever the number of workers.

The rows of an epoch are permuted by a hash of (seed, epoch, row); steps take the next
``global_batch`` of them, across the ends of epochs. When there are more epochs than were packed,
the packed ones are read again, in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from treespan.platform.draws import permutation


class RowOrder:
    """Finds rows by their place in training. ``rows_per_epoch`` are the packed epochs' sizes."""

    def __init__(self, seed: int, rows_per_epoch: Sequence[int], global_batch: int) -> None:
        if not rows_per_epoch or min(rows_per_epoch) < 1:
            raise ValueError("every packed epoch needs a row")
        self._seed = seed
        self._rows = list(rows_per_epoch)
        self._global_batch = global_batch
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def rows_of_step(self, step: int) -> list[tuple[int, int]]:
        """The (packed epoch, row) of each of the ``global_batch`` places of ``step``."""
        first = step * self._global_batch
        return [self.row_at(first + place) for place in range(self._global_batch)]

    def row_at(self, position: int) -> tuple[int, int]:
        """The (packed epoch, row) that is read at ``position``, counted from the very start."""
        rounds, rest = divmod(position, sum(self._rows))
        packed = 0
        while rest >= self._rows[packed]:
            rest -= self._rows[packed]
            packed += 1
        epoch = rounds * len(self._rows) + packed
        return packed, int(self._permutation(epoch)[rest])

    def rows_of_rank(self, step: int, rank: int, world: int) -> list[tuple[int, int]]:
        """The share of one worker: consecutive places, so any number of workers reads the same."""
        per_rank = self._global_batch // world
        return self.rows_of_step(step)[rank * per_rank : (rank + 1) * per_rank]

    def _permute(self, epoch: int) -> NDArray[np.int64]:
        size = self._rows[epoch % len(self._rows)]
        return permutation(size, self._seed, "rows", epoch)
