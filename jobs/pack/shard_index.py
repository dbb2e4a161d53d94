"""Where every packed row is: ``shards/index.json``, so that a row is found without a table read.

The index lies beside the shards and names them relative to itself, so the folder can be moved as a
whole. It grows with the number of shards, not of rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from treespan.platform.errors import UserError
from treespan.platform.store import Store

INDEX = "index.json"


def index_of(parts_by_epoch: Sequence[Sequence[tuple[str, int]]], seq_len: int) -> dict[str, Any]:
    """The index as it is stored.

    ``parts_by_epoch`` has, for each epoch, its shards in reading order: the path relative to the
    folder of the index, and the rows.
    """
    epochs = []
    for parts in parts_by_epoch:
        ends = list(accumulate((rows for _, rows in parts), initial=0))
        described = [
            {"path": path, "first_row": first, "rows": rows}
            for (path, rows), first in zip(parts, ends, strict=False)
        ]
        epochs.append({"rows": ends[-1], "parts": described})
    return {"seq_len": seq_len, "epochs": epochs}


@dataclass(frozen=True)
class _Epoch:
    rows: int
    paths: list[str]  # of the store, in reading order
    first_rows: list[int]  # ascending; that of an empty part is that of the part after it


class ShardIndex:
    """The shards of all epochs; a row is found in time independent of how many rows there are."""

    def __init__(self, values: Mapping[str, Any], folder: str) -> None:
        """``values`` as ``index_of`` gives them; ``folder`` is where the index lies."""
        self.seq_len = int(values["seq_len"])
        self._epochs = [
            _Epoch(
                int(epoch["rows"]),
                [f"{folder}/{part['path']}" for part in epoch["parts"]],
                [int(part["first_row"]) for part in epoch["parts"]],
            )
            for epoch in values["epochs"]
        ]

    @staticmethod
    def read(store: Store, folder: str) -> ShardIndex:
        """The index in ``folder`` (``shards`` of a packed step). ``UserError`` if there is none."""
        if not store.exists(f"{folder}/{INDEX}"):
            raise UserError(
                f"{store.child(folder)} has no {INDEX}: an earlier version packed it.",
                "Run the recipe again, or name one of its shards, a file part-*.arrow.",
            )
        return ShardIndex(store.read_json(f"{folder}/{INDEX}"), folder)

    @property
    def epochs(self) -> int:
        """How many epochs were packed."""
        return len(self._epochs)

    def paths(self, epoch: int) -> list[str]:
        """The shards of ``epoch`` as paths of the store, in reading order."""
        return self._epoch(epoch).paths

    def rows(self, epoch: int) -> int:
        """The rows of ``epoch``. Raises ``UserError`` where there is no such epoch."""
        return self._epoch(epoch).rows

    def locate(self, epoch: int, row: int) -> tuple[str, int]:
        """The shard that holds ``row``, as a path of the store, and the row's number in it.

        Raises ``UserError`` where there is no such epoch or row.
        """
        found = self._epoch(epoch)
        check_row(row, found.rows, f"epoch {epoch}")
        part = bisect_right(found.first_rows, row) - 1
        return found.paths[part], row - found.first_rows[part]

    def _epoch(self, epoch: int) -> _Epoch:
        if not 0 <= epoch < self.epochs:
            raise UserError(
                f"there is no epoch {epoch}: {self.epochs} were packed.",
                f"Give one from 0 to {self.epochs - 1}, or raise pack.epochs.",
            )
        return self._epochs[epoch]


def check_row(row: int, rows: int, where: str) -> None:
    """Raise ``UserError`` if ``where``, which has so many ``rows``, has no row ``row``."""
    if not 0 <= row < rows:
        fix = f"Give one from 0 to {rows - 1}." if rows else "Pack some documents first."
        raise UserError(f"there is no row {row}: {where} has {rows:,}.", fix)
