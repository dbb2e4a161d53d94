"""The Ray Data shell of every step that works partition by partition.

A partition's function reads from the store, writes its files to the store and returns a receipt:
which files, and what it counted. Only receipts travel through Ray. A receipt is stored after the
files that it lists, so a step that was killed goes on with the partitions that have none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from treespan.platform.errors import UserError, find_user_error
from treespan.platform.steps import Context
from treespan.platform.store import FileEntry, Store


@dataclass(frozen=True)
class Receipt:
    """What one partition's function wrote and counted."""

    files: Sequence[FileEntry]
    counts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"files": [f.to_dict() for f in self.files], "counts": dict(self.counts)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Receipt:
        """The inverse of ``to_dict``."""
        return Receipt([FileEntry(**entry) for entry in values["files"]], values["counts"])


def map_partitions(
    context: Context,
    label: str,
    function: Callable[[int], Receipt],
    partitions: int,
) -> list[Receipt]:
    """Run ``function`` on every partition with Ray Data; receipts in the order of partitions.

    ``function`` must be deterministic and safe to run twice: Ray runs it again after a lost worker.
    """
    receipts = _read_receipts(context, label, partitions)
    missing = [p for p in range(partitions) if p not in receipts]
    with context.progress.bar(label, partitions) as bar:
        bar.advance(len(receipts))
        if missing:
            store, folder = context.store, f"{context.work}/receipts/{label}"

            def apply(row: dict[str, Any]) -> dict[str, Any]:
                partition = int(row["partition"])
                receipt = function(partition).to_dict()
                store.write_json(f"{folder}/{partition:05d}.json", receipt)
                return {"partition": partition, "receipt": receipt}

            items = [{"partition": p} for p in missing]
            todo = ray.data.from_items(items, override_num_blocks=len(items))
            for row in map_rows(todo, apply):
                receipts[row["partition"]] = Receipt.from_dict(row["receipt"])
                bar.advance()
    return [receipts[p] for p in range(partitions)]


def map_rows(
    dataset: ray.data.Dataset,
    function: Callable[[dict[str, Any]], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """``function`` of every row, as rows are done; its results are JSON types.

    Raises the ``UserError`` that ``function`` raised. Ray Data's own error would lose it: causes do
    not survive pickling, so what a person can mend travels as a row.
    """

    def apply(row: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"result": json.dumps(function(row)), "problem": "", "fix": ""}
        except Exception as error:
            mended = find_user_error(error)
            if mended is None:
                raise
            return {"result": "", "problem": mended.problem, "fix": mended.fix}

    for row in dataset.map(apply, num_cpus=1).iter_rows():
        if row["problem"]:
            raise UserError(row["problem"], row["fix"])
        result: dict[str, Any] = json.loads(row["result"])
        yield result


def files_of(receipts: Sequence[Receipt]) -> list[FileEntry]:
    """All files of ``receipts``."""
    return [entry for receipt in receipts for entry in receipt.files]


def _read_receipts(context: Context, label: str, partitions: int) -> dict[int, Receipt]:
    store: Store = context.store
    found: dict[int, Receipt] = {}
    for name in store.list_files(f"{context.work}/receipts/{label}"):
        partition = int(name.rpartition("/")[2].removesuffix(".json"))
        if partition < partitions:
            found[partition] = Receipt.from_dict(store.read_json(name))
    return found
