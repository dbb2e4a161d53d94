"""Second pass of ingest: the repositories of a partition, in the order of names, as one part.

Record batches go from table to table as they are; only their bounds are drawn anew, so that these
depend on the rows alone and not on which repositories were read together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pyarrow as pa

from treespan.jobs.ingest.bundles import Piece
from treespan.jobs.ingest.read import BATCH_BYTES, BATCH_ROWS
from treespan.jobs.ingest.read_bundle import LEDGER_ROWS
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import FILES, LEDGER, part_name
from treespan.platform.store import Store


def assemble_partition(
    store: Store, folder: str, work: str, partition: int, pieces: Sequence[Piece]
) -> Receipt:
    """Write ``files/`` and ``ledger/`` of one partition from the scratch tables of its bundles."""
    part = part_name(partition)
    files = [(piece.bundle, piece.first_of_files, piece.files) for piece in pieces]
    ledger = [(piece.bundle, piece.first_of_ledger, piece.ledger) for piece in pieces]
    return Receipt(
        [
            store.write_table(
                f"{folder}/files/{part}",
                FILES,
                rebatch(read_runs(store, f"{work}/read/files", files), BATCH_ROWS, BATCH_BYTES),
            ),
            store.write_table(
                f"{folder}/ledger/{part}",
                LEDGER,
                rebatch(read_runs(store, f"{work}/read/ledger", ledger), LEDGER_ROWS),
            ),
        ]
    )


def read_runs(
    store: Store, folder: str, runs: Sequence[tuple[int, int, int]]
) -> Iterator[pa.RecordBatch]:
    """The record batches of ``runs``: (table, first batch, batches), in the order given.

    A table stays open until its last run, since those of a window may alternate with others.
    """
    runs = [run for run in runs if run[2]]
    left = Counter(table for table, _, _ in runs)
    open_tables: dict[int, tuple[ExitStack, Any]] = {}
    with ExitStack() as all_open:
        for table, first, number in runs:
            if table not in open_tables:
                stack = all_open.enter_context(ExitStack())
                reader = stack.enter_context(store.open_table(f"{folder}/{part_name(table)}"))
                open_tables[table] = stack, reader
            stack, reader = open_tables[table]
            for place in range(first, first + number):
                yield reader.get_batch(place)
            left[table] -= 1
            if not left[table]:
                stack.close()
                del open_tables[table]


def rebatch(
    batches: Iterable[pa.RecordBatch], most_rows: int, enough_bytes: int | None = None
) -> Iterator[pa.RecordBatch]:
    """The same rows in batches that end with ``most_rows`` rows, or where ``size`` sums up to
    ``enough_bytes``, whichever comes first.
    """
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        ends = np.cumsum(batch["size"].to_numpy())
        start = 0
        while start < batch.num_rows:
            before = int(ends[start - 1]) if start else 0
            end = start + most_rows - rows
            if enough_bytes is not None:
                end = min(end, int(np.searchsorted(ends, before + enough_bytes - size)) + 1)
            taken = batch.slice(start, end - start)
            pending.append(taken)
            rows += taken.num_rows
            size += int(ends[start + taken.num_rows - 1]) - before
            if end > batch.num_rows:
                break
            yield joined(pending)
            pending, rows, size = [], 0, 0
            start = end
    if pending:
        yield joined(pending)


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """All rows of ``batches`` as one."""
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
