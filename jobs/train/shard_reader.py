"""Rows straight from the Arrow shards: opening one costs its footer, and a row its own pages.

Local shards are memory-mapped. Those of a remote store are mapped from a copy on the local disk
(``shard_cache``); where there is none, each row costs the record batch that it lies in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.pack.shard_index import ShardIndex
from treespan.jobs.train.batch import Row, Tags
from treespan.jobs.train.shard_cache import ShardCache
from treespan.platform.steps import read_output
from treespan.platform.store import Store

OPEN_SHARDS = 128
"""Shards of an epoch that are held open (ours): a process may open some thousand files."""

OPEN_BATCHES = 1024
"""Record batches whose columns are held as views (ours): some 20 kB each, and a tenth of a
millisecond to make."""


@dataclass(frozen=True)
class _Column:
    """A column of lists of numbers or segments: where the list of each row begins and ends."""

    ends: NDArray[np.int32]  # [rows + 1]

    @staticmethod
    def of(column: pa.ListArray) -> _Column:
        return _Column(column.offsets.to_numpy())

    def bounds(self, row: int) -> tuple[int, int]:
        return int(self.ends[row]), int(self.ends[row + 1])


class _BatchView:
    """The columns of a record batch as views of its buffers; a row is cut from them."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._tokens = _matrix(batch["tokens"])
        self._loss_mask = _matrix(batch["loss_mask"])
        self._documents = _Column.of(batch["document_lengths"])
        self._document_lengths = batch["document_lengths"].values.to_numpy()
        self._segments = _Column.of(batch["segments"])
        fields = batch["segments"].values
        self._numbers = [
            fields.field(name).to_numpy() for name in ("length", "middle_start", "middle_length")
        ]
        self._tags = [fields.field(name) for name in Tags._fields]

    def row(self, row: int) -> Row:
        """Row number ``row`` of the batch."""
        first, end = self._documents.bounds(row)
        start, stop = self._segments.bounds(row)
        lengths, middle_starts, middle_lengths = (array[start:stop] for array in self._numbers)
        texts = (array.slice(start, stop - start).to_pylist() for array in self._tags)
        return Row(
            tokens=self._tokens[row],
            loss_mask=self._loss_mask[row],
            document_lengths=self._document_lengths[first:end],
            segment_lengths=lengths,
            middle_starts=middle_starts,
            middle_lengths=middle_lengths,
            tags=[Tags(*named) for named in zip(*texts, strict=True)],
        )


def _matrix(column: pa.FixedSizeListArray) -> NDArray[Any]:
    values: NDArray[Any] = column.flatten().to_numpy()
    return values.reshape(len(column), -1)


@dataclass(frozen=True)
class _Shard:
    table: pa.ipc.RecordBatchFileReader
    is_mapped: bool

    @cached_property
    def rows_per_batch(self) -> int:
        """All batches of a shard but its last are of one size."""
        rows: int = self.table.get_batch(0).num_rows
        return rows


class ShardReader:
    """The shards of one packed epoch; row *i* is found in time independent of their number.

    May be used by several threads.
    """

    def __init__(
        self, store: Store, index: ShardIndex, epoch: int, cache: ShardCache | None = None
    ) -> None:
        self._store = store
        self._index = index
        self._epoch = epoch
        self._cache = cache
        self._shard = lru_cache(maxsize=OPEN_SHARDS)(self._open)
        self._kept_view = lru_cache(maxsize=OPEN_BATCHES)(self._view)

    @property
    def seq_len(self) -> int:
        """Tokens of a row."""
        return self._index.seq_len

    @property
    def rows(self) -> int:
        """Rows of the epoch."""
        return self._index.rows(self._epoch)

    def row(self, index: int) -> Row:
        """Row ``index`` as views of its shard. Raises ``UserError`` where there is no such row."""
        path, within = self._index.locate(self._epoch, index)
        shard = self._shard(path)
        batch, place = divmod(within, shard.rows_per_batch)
        # What is not mapped would lie in memory as a whole.
        view = self._kept_view if shard.is_mapped else self._view
        return view(path, batch).row(place)

    def _open(self, path: str) -> _Shard:
        source = None
        if self._cache is not None:
            source = self._cache.open(path, keep=self._index.paths(self._epoch))
        is_mapped = source is not None or self._store.is_local
        if source is None:
            source = self._store.open_file(path)
        return _Shard(pa.ipc.open_file(source), is_mapped)

    def _view(self, path: str, batch: int) -> _BatchView:
        return _BatchView(self._shard(path).table.get_batch(batch))


def open_readers(store: Store, folder: str, cache: Path | None = None) -> list[ShardReader]:
    """A reader for each packed epoch in ``folder``, a subfolder of a packing step's.

    Shards of a remote store are first copied to a subfolder of ``cache`` on the local disk, if one
    is given. Raises ``UserError`` where ``folder`` has no index.
    """
    index = ShardIndex.read(store, folder)
    copies = None
    if cache is not None and not store.is_local:
        step = folder.rpartition("/")[0]
        packed = read_output(store, step)
        entries = packed.entries() if packed is not None else {}
        copies = ShardCache(cache / "shards", store, entries)
    return [ShardReader(store, index, epoch, copies) for epoch in range(index.epochs)]
