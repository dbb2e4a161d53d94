"""The rows of a run: which this worker reads, in micro batches, ahead of their use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from treespan.jobs.train.batch import Batch, Row, batch_of
from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.prefetch import Prefetcher
from treespan.jobs.train.row_order import RowOrder
from treespan.jobs.train.shard_reader import ShardReader
from treespan.model.sequence_parallel import SequenceGroup
from treespan.platform.draws import permutation

_AHEAD_BATCHES = 4
"""Micro batches that are prepared ahead (ours: one would do, were all rows equally long to read)."""


class TrainingRows:
    """Micro batches of one worker. Those that share rows read the same ones."""

    def __init__(
        self,
        config: TrainConfig,
        seq_len: int,
        readers: Sequence[ShardReader],
        heldout: ShardReader | None,
        rank: int,
        world: int,
        sequence: SequenceGroup | None = None,
    ) -> None:
        shared = 1 if sequence is None else sequence.size
        self._config = config
        self._readers, self._heldout = readers, heldout
        self._part, self._parts = rank // shared, world // shared
        self._sequence = sequence
        self.seq_len = seq_len
        """Tokens of a row."""

    @property
    def has_heldout(self) -> bool:
        """Whether there are rows to validate on."""
        return self._heldout is not None and self._config.validation.rows > 0

    def reading(self, first_step: int, skips: Sequence[tuple[int, int]]) -> Prefetcher[Batch]:
        """Micro batches of ``first_step`` and all after it, prepared by a thread."""
        sizes = [reader.rows for reader in self._readers]
        order = RowOrder(self._config.seed, sizes, self._config.global_batch, tuple(skips))

        def batches(step: int) -> Iterator[Batch]:
            places = order.rows_of_rank(step, self._part, self._parts)
            rows = [None if p is None else self._readers[p[0]].row(p[1]) for p in places]
            return self._micro_batches(rows)

        return Prefetcher(batches, first_step, _AHEAD_BATCHES)

    def heldout_batches(self) -> Iterator[Batch]:
        """Micro batches of this worker's share of the held-out rows; equally many on all workers."""
        assert self._heldout is not None
        count = min(self._config.validation.rows, self._heldout.rows)
        chosen = permutation(self._heldout.rows, self._config.seed, "validation", 0)[:count]
        each = -(-count // self._parts)
        mine = [int(row) for row in chosen[self._part * each : (self._part + 1) * each]]
        padded = [*mine, *[None] * (each - len(mine))]
        return self._micro_batches(
            [None if row is None else self._heldout.row(row) for row in padded]
        )

    def _micro_batches(self, rows: Sequence[Row | None]) -> Iterator[Batch]:
        size = self._config.execution.micro_batch
        padded = [*rows, *[None] * (-len(rows) % size)]
        for first in range(0, len(padded), size):
            yield self._own_tokens(batch_of(padded[first : first + size], self.seq_len))

    def _own_tokens(self, batch: Batch) -> Batch:
        """This worker's part of every row; which documents there are concerns the whole rows."""
        if self._sequence is None:
            return batch
        part = self._sequence.part
        return replace(
            batch,
            tokens=part(batch.tokens),
            targets=part(batch.targets),
            positions=part(batch.positions),
            segments=part(batch.segments),
            middle_left=part(batch.middle_left),
        )
