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

Place = tuple[int, int]
"""A packed epoch, and a row of it."""


class RowOrder:
    """Finds rows by their place in training.

    ``rows_per_epoch`` are the packed epochs' sizes. Each of ``skips`` is a step, and how many rows
    are passed over right before it: what lay between a checkpoint and a spike of the loss is not
    read again when training goes back to the checkpoint. Raises ``ValueError`` for an epoch without
    rows and for negative skips.
    """

    def __init__(
        self,
        seed: int,
        rows_per_epoch: Sequence[int],
        global_batch: int,
        skips: Sequence[tuple[int, int]] = (),
    ) -> None:
        if not rows_per_epoch or min(rows_per_epoch) < 1:
            raise ValueError("every packed epoch needs a row")
        if any(rows < 0 for _, rows in skips):
            raise ValueError("rows can be skipped, not taken back")
        self._seed = seed
        self._rows = list(rows_per_epoch)
        self._global_batch = global_batch
        self._skips = tuple(skips)
        self._permutation = lru_cache(maxsize=2)(self._permute)

    def first_position(self, step: int) -> int:
        """The position of the first place of ``step``, counted from the very start."""
        skipped = sum(rows for from_step, rows in self._skips if from_step <= step)
        return step * self._global_batch + skipped

    def row_at(self, position: int) -> Place:
        """The row that is read at ``position``, counted from the very start."""
        rounds, rest = divmod(position, sum(self._rows))
        packed = 0
        while rest >= self._rows[packed]:
            rest -= self._rows[packed]
            packed += 1
        epoch = rounds * len(self._rows) + packed
        return packed, int(self._permutation(epoch)[rest])

    def rows_of_rank(self, step: int, part: int, parts: int) -> list[Place | None]:
        """The share of one of ``parts`` equal parts of ``step``.

        Places are consecutive, so any number of parts reads the same rows in the same order. All
        shares are of one length, as workers step together: where the ``global_batch`` places run
        out, the rest is None.
        """
        share = -(-self._global_batch // parts)
        first = self.first_position(step)
        places = range(part * share, (part + 1) * share)
        return [
            self.row_at(first + place) if place < self._global_batch else None for place in places
        ]

    def _permute(self, epoch: int) -> NDArray[np.int64]:
        size = self._rows[epoch % len(self._rows)]
        return permutation(size, self._seed, "rows", epoch)
