"""Rows straight from the Arrow shards, memory-mapped where the store is local."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.pack.shard_index import ShardIndex
from treespan.model.objectives import OBJECTIVES
from treespan.platform.store import Store


@dataclass(frozen=True)
class Batch:
    """Rows ready for the model."""

    tokens: NDArray[np.int64]  # [rows, seq_len]
    loss_mask: NDArray[np.bool_]  # [rows, seq_len]; True where the token is a target
    objectives: NDArray[np.int64]  # [rows, seq_len]; index into OBJECTIVES of its segment
    document_lengths: list[list[int]]  # per row


class ShardReader:
    """The shards of one packed epoch; row *i* is found in time independent of their number."""

    def __init__(self, store: Store, index: ShardIndex, epoch: int) -> None:
        self._store = store
        self._index = index
        self._epoch = epoch
        self._batches: dict[str, list[pa.RecordBatch]] = {}

    @property
    def rows(self) -> int:
        """Rows of the epoch."""
        return self._index.rows(self._epoch)

    def row(self, index: int) -> dict[str, Any]:
        """``tokens`` int32 [seq_len], ``loss_mask`` uint8 [seq_len], ``document_lengths`` and
        ``segments`` as lists."""
        path, within = self._index.locate(self._epoch, index)
        if path not in self._batches:
            self._batches[path] = self._store.read_table(path).to_batches()
        batches = self._batches[path]
        # All batches of a shard but its last are of one size.
        number, place = divmod(within, batches[0].num_rows)
        row = batches[number].slice(place, 1)
        return {
            "tokens": row["tokens"].flatten().to_numpy(),
            "loss_mask": row["loss_mask"].flatten().to_numpy(),
            "document_lengths": row["document_lengths"][0].as_py(),
            "segments": row["segments"][0].as_py(),
        }


def batch_of(rows: Sequence[Mapping[str, Any]]) -> Batch:
    """``rows`` (as ``ShardReader.row`` gives them) as one batch."""
    objectives = np.zeros((len(rows), len(rows[0]["tokens"])), np.int64)
    for index, row in enumerate(rows):
        for segment in row["segments"]:
            start, end = segment["start"], segment["start"] + segment["length"]
            objectives[index, start:end] = OBJECTIVES.index(segment["objective"])
    return Batch(
        tokens=np.stack([row["tokens"] for row in rows]).astype(np.int64),
        loss_mask=np.stack([row["loss_mask"] for row in rows]).astype(np.bool_),
        objectives=objectives,
        document_lengths=[row["document_lengths"] for row in rows],
    )
