"""The Ray Data shuffle of tables in the store: rows that belong together meet, and are reduced.

Rows are grouped by a slice of their key, some hundred thousand of them each, and within a slice the
equal keys are found by sorting: a group for every key would cost a function call per key. Each slice
is written to the store; only receipts come back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from treespan.platform.errors import UserError
from treespan.platform.partitions import ROUND_WAITS_S, Receipt, outcome_of, read_receipt
from treespan.platform.schemas import part_name
from treespan.platform.steps import Context

Reduce = Callable[[pa.Table], tuple[pa.Table, Mapping[str, int]]]
"""All rows of a slice, in any order, to a table and counts, whose rows are the same in any order."""

ROWS_PER_SLICE = 500_000
"""Rows that one task reduces (ours): some tens of megabytes. A slice of hot
buckets may propose a gigabyte of pairs."""

_SLICE = "slice"


def shuffle(
    context: Context,
    label: str,
    tables: Sequence[str],
    rows: int,
    key: Callable[[pa.Table], NDArray[np.uint64]],
    reduce: Reduce,
    expand: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> list[Receipt]:
    """Write ``work/LABEL/part-*.arrow``, one part per slice that has rows; their receipts.

    ``rows`` is about how many there are in ``tables`` after ``expand``, which maps the rows of a
    batch to those that are shuffled. Equal values of ``key`` (uint64 [rows]) meet in one slice.
    """
    store, folder = context.store, f"{context.work}/{label}"
    done = read_receipt(store, f"{folder}/done.json")
    if done is not None:
        return [Receipt.from_dict(values) for values in done.counts["slices"]]
    slices = max(1, -(-rows // ROWS_PER_SLICE))

    def load(batch: dict[str, NDArray[Any]]) -> Iterator[pa.Table]:
        for name in batch["table"]:
            with store.open_table(str(name)) as reader:
                for index in range(reader.num_record_batches):
                    table = expand(pa.Table.from_batches([reader.get_batch(index)]))
                    slice_of = mixed(key(table)) % np.uint64(slices)
                    yield table.append_column(_SLICE, pa.array(slice_of))

    def reduce_slice(group: pa.Table) -> pa.Table:
        def work() -> dict[str, Any]:
            number = int(group[_SLICE][0].as_py())
            reduced, counts = reduce(group.drop_columns([_SLICE]))
            target = f"{folder}/{part_name(number)}"
            entry = store.write_table(target, reduced.schema, reduced.to_batches())
            return Receipt([entry], counts).to_dict()

        said = outcome_of(work)
        return pa.table({name: [value] for name, value in said.items()})

    receipts: list[Receipt] = []
    for wait_s in (*ROUND_WAITS_S, None) if tables else ():
        items = [{"table": name} for name in tables]
        loaded = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            load, batch_size=1
        )
        reduced = loaded.groupby(_SLICE, num_partitions=slices).map_groups(
            reduce_slice, batch_format="pyarrow"
        )
        outcomes = list(reduced.iter_rows())
        failed = [outcome for outcome in outcomes if outcome["problem"]]
        for outcome in failed:
            if not outcome["passing"] or wait_s is None:
                raise UserError(outcome["problem"], outcome["fix"])
        if not failed:
            receipts = [Receipt.from_dict(json.loads(outcome["result"])) for outcome in outcomes]
            break
        # Which rows belong to a slice only a shuffle can tell, so all of it is done again.
        time.sleep(wait_s or 0.0)
    receipts.sort(key=lambda receipt: receipt.files[0].path)
    slices_done = Receipt([], {"slices": [receipt.to_dict() for receipt in receipts]})
    store.write_json(f"{folder}/done.json", slices_done.to_dict())
    return receipts


def mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keys spread evenly over 64 bits: MurmurHash3's finaliser, a bijection."""
    keys = (keys ^ (keys >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    keys = (keys ^ (keys >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    mixed_keys: NDArray[np.uint64] = keys ^ (keys >> np.uint64(33))
    return mixed_keys


def tables_of(receipts: Sequence[Receipt]) -> list[str]:
    """The tables that ``receipts`` list, those without rows left out.

    Ray Data would make of an empty one a block without columns.
    """
    return [entry.path for receipt in receipts for entry in receipt.files if entry.rows]


def total(receipts: Sequence[Receipt], name: str) -> int:
    """What ``receipts`` counted under ``name``, together."""
    return sum(receipt.counts[name] for receipt in receipts)
