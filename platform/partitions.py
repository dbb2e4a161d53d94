"""The Ray Data shell of every step that works partition by partition.

A partition's function reads from the store, writes its files to the store and returns a receipt:
which files, and what it counted. Only receipts travel through Ray. A receipt is stored after the
files that it lists, so a step that was killed goes on with the partitions that have none.

A worker that dies is Ray's to replace, and it runs the task again. What a task raises is ours: want
of memory, or a store that failed longer than ``platform.retry`` waits, comes back as a row, and
those items are tried again when all others are done. Anything else ends the step.
"""

from __future__ import annotations

import json
import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray
from ray.data import TaskPoolStrategy
from ray.util.annotations import RayDeprecationWarning

from treespan.platform.errors import UserError, find_user_error
from treespan.platform.retry import is_passing
from treespan.platform.steps import Context
from treespan.platform.store import FileEntry, Store

MIN_BLOCKS, BLOCKS_PER_CPU = 256, 4
"""Tasks that many items are spread over (ours). One costs 13 ms of Ray Data's time: 4,000 empty
items take 55 s in as many tasks and 4 s in 256."""

ROUND_WAITS_S = (1.0, 10.0, 30.0)
"""Waits before the items that failed for a passing reason are tried again, round by round (ours):
with the tries of each call, a store may be away for about a minute."""

DEATHS = 10
"""How often the worker of one task may die (ours). Ray's own limit for data is none, and an item
that kills whoever takes it would be tried for ever."""

T = TypeVar("T")


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
    context: Context, label: str, function: Callable[[int], Receipt], partitions: int
) -> list[Receipt]:
    """Run ``function`` on every partition with Ray Data; receipts in the order of partitions.

    ``function`` must be deterministic and safe to run twice: Ray runs it again after a lost worker.
    """
    return map_parts(context, label, lambda number, _: function(number), [None] * partitions)


def map_parts(
    context: Context, label: str, function: Callable[[int, T], Receipt], parts: Sequence[T]
) -> list[Receipt]:
    """``map_partitions`` over parts that carry something along, which only their task is sent."""
    receipts = _read_receipts(context, label, len(parts))
    missing = [number for number in range(len(parts)) if number not in receipts]
    with context.progress.bar(label, len(parts)) as bar:
        bar.advance(len(receipts))
        if missing:
            store, folder = context.store, f"{context.work}/receipts/{label}"

            def apply(item: tuple[int, T]) -> dict[str, Any]:
                number, part = item
                path = f"{folder}/{number:05d}.json"
                # Where a task has several items, one of them may have been done before it died.
                receipt = read_receipt(store, path) or function(number, part)
                store.write_json(path, receipt.to_dict())
                return {"number": number, "receipt": receipt.to_dict()}

            for row in map_rows([(number, parts[number]) for number in missing], apply):
                receipts[row["number"]] = Receipt.from_dict(row["receipt"])
                bar.advance()
    return [receipts[number] for number in range(len(parts))]


def map_rows(
    items: Sequence[T],
    function: Callable[[T], dict[str, Any]],
    *,
    items_per_task: int = 1,
) -> Iterator[dict[str, Any]]:
    """``function`` of every item, as they are done; its results are JSON types.

    Items that fail for a passing reason are tried again in further rounds, one at a time if memory
    was short. Raises the ``UserError`` that ``function`` raised, or one that tells why the last
    round failed. Ray Data's own error would lose it: causes do not survive pickling, so what a
    person can mend travels as a row.
    """

    def apply(row: dict[str, Any]) -> dict[str, Any]:
        outcome = outcome_of(lambda: function(pickle.loads(row["item"])))
        return {"place": row["place"], **outcome}

    cpus = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
    most_blocks = max(MIN_BLOCKS, BLOCKS_PER_CPU * cpus)
    waiting = list(range(len(items)))
    reasons: set[str] = set()
    short_of_memory = False
    for wait_s in (*ROUND_WAITS_S, None):
        rows = [{"place": place, "item": pickle.dumps(items[place])} for place in waiting]
        blocks = min(-(-len(rows) // items_per_task), most_blocks)
        dataset: ray.data.Dataset = ray.data.from_items(rows, override_num_blocks=max(blocks, 1))
        with warnings.catch_warnings():
            # Ray 2.60 calls all options of tasks deprecated that ``map`` does not name; of these
            # it has no other way to bound the deaths of a worker.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            dataset = dataset.map(
                apply,
                num_cpus=1,
                compute=TaskPoolStrategy(size=1 if short_of_memory else None),
                max_retries=DEATHS,
            )
        waiting, reasons = [], set()
        for row in dataset.iter_rows():
            if row["problem"] and (not row["passing"] or wait_s is None):
                raise UserError(row["problem"], row["fix"])
            if row["problem"]:
                waiting.append(row["place"])
                reasons.add(row["passing"])
            else:
                result: dict[str, Any] = json.loads(row["result"])
                yield result
        if not waiting:
            return
        if wait_s is not None and "store" in reasons:
            time.sleep(wait_s)
        waiting.sort()
        short_of_memory |= "memory" in reasons


def outcome_of(work: Callable[[], dict[str, Any]]) -> dict[str, str]:
    """What ``work`` gave, as JSON in ``result``, or why it failed: ``problem`` and ``fix``.

    ``passing`` is ``memory`` or ``store`` where another try may succeed. Raises what no person can
    mend.
    """
    said = {"result": "", "passing": "", "problem": "", "fix": ""}
    try:
        said["result"] = json.dumps(work())
    except Exception as error:
        mended = find_user_error(error)
        if is_passing(error):
            said["passing"] = "memory" if isinstance(error, MemoryError) else "store"
            mended = mended or _last_word(error)
        if mended is None:
            raise
        said |= {"problem": mended.problem, "fix": mended.fix}
    return said


def files_of(receipts: Sequence[Receipt]) -> list[FileEntry]:
    """All files of ``receipts``."""
    return [entry for receipt in receipts for entry in receipt.files]


def _read_receipts(context: Context, label: str, partitions: int) -> dict[int, Receipt]:
    store: Store = context.store
    found: dict[int, Receipt] = {}
    for name in store.list_files(f"{context.work}/receipts/{label}"):
        partition = int(name.rpartition("/")[2].removesuffix(".json"))
        receipt = read_receipt(store, name)
        if partition < partitions and receipt is not None:
            found[partition] = receipt
    return found


def read_receipt(store: Store, path: str) -> Receipt | None:
    """The receipt; None where there is none, or half of one from an upload that was cut off."""
    if not store.exists(path):
        return None
    try:
        return Receipt.from_dict(store.read_json(path))
    except ValueError:
        return None


def _last_word(error: BaseException) -> UserError:
    if isinstance(error, MemoryError):
        return UserError(
            "a worker has not enough memory for its part of the work, even alone.",
            "Give workers more memory, or raise ingest.partitions so that parts are smaller.",
        )
    return UserError(
        f"the store fails again and again ({error}).",
        "Check the disk or the network and run again: what is finished is kept.",
    )
