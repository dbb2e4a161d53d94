"""How fast packed rows become batches, and whether training ever waits for them.

    python -m benchmarks.rows [--seq-lens 512,1024,8192,32768] [--megatokens 32] [--speeds 2500,50000]

Shards of made-up tokens, in segments of 500, are read in random order by one process on one core.
Then a consumer takes batches from a ``Prefetcher`` and multiplies matrices for as long as training
at so many tokens per second would compute, on the same core: what it waits, and the processor time of
the thread that prepares, is what rows cost a step.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from treespan.jobs.pack.partition import ROWS_PER_BATCH
from treespan.jobs.pack.shard_index import INDEX, index_of
from treespan.jobs.train.batch import Batch, batch_of
from treespan.jobs.train.prefetch import Prefetcher
from treespan.jobs.train.row_order import RowOrder
from treespan.jobs.train.shard_reader import ShardReader, open_readers
from treespan.platform.schemas import SEGMENT, part_name, shards
from treespan.platform.store import Store

SHARDS, SEGMENT_TOKENS, MICRO_BATCH, DEPTH = 8, 500, 2, 4
SECONDS = 4.0
"""Of computing at each speed; at least two steps."""


def made_up(rows: int, seq_len: int, rng: np.random.Generator) -> pa.RecordBatch:
    """Rows without padding: a quarter of a row to a document, a hole in every segment."""
    starts = np.arange(0, seq_len, SEGMENT_TOKENS)
    lengths = np.diff(starts, append=seq_len)
    values = {
        "start": np.tile(starts, rows),
        "length": np.tile(lengths, rows),
        "middle_start": np.tile(starts + 2, rows),
        "middle_length": np.tile(np.minimum(40, lengths - 2), rows),
    }
    texts = {"objective": "sfim", "language": "Python", "strategy": "content"}
    count = rows * len(starts)
    segments = [
        pa.array(values[field.name], field.type)
        if field.name in values
        else pa.array([texts.get(field.name, 0 if field.type == pa.int32() else "")] * count)
        for field in SEGMENT
    ]
    tokens = rng.integers(0, 49_152, rows * seq_len, dtype=np.int32)
    columns = [
        pa.FixedSizeListArray.from_arrays(pa.array(tokens), seq_len),
        pa.array([[seq_len // 4] * 4] * rows, pa.list_(pa.int32())),
        pa.FixedSizeListArray.from_arrays(pa.array(np.ones(len(tokens), np.uint8)), seq_len),
        pa.ListArray.from_arrays(
            pa.array(np.arange(rows + 1) * len(starts), pa.int32()),
            pa.StructArray.from_arrays(
                [column.cast(f.type) for column, f in zip(segments, SEGMENT, strict=True)],
                fields=list(SEGMENT),
            ),
        ),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=shards(seq_len))


def write_shards(store: Store, seq_len: int, tokens: int) -> None:
    """One epoch of ``tokens`` tokens."""
    rng = np.random.default_rng(0)
    batches = max(1, tokens // (SHARDS * ROWS_PER_BATCH * seq_len))
    parts = []
    for number in range(SHARDS):
        name = f"epoch-00/{part_name(number)}"
        made = (made_up(ROWS_PER_BATCH, seq_len, rng) for _ in range(batches))
        entry = store.write_table(f"shards/{name}", shards(seq_len), made)
        parts.append((name, entry.rows or 0))
    store.write_json(f"shards/{INDEX}", index_of([parts], seq_len))


def rates(reader: ShardReader) -> tuple[float, float]:
    """Rows per second of reading, each row once and in random order, and of making batches."""
    order = np.random.default_rng(1).permutation(reader.rows).tolist()
    started = time.perf_counter()
    rows = [reader.row(index) for index in order]
    read = time.perf_counter()
    for first in range(0, len(rows), MICRO_BATCH):
        batch_of(rows[first : first + MICRO_BATCH], reader.seq_len)
    ended = time.perf_counter()
    return len(rows) / (read - started), len(rows) / (ended - read)


def waits(reader: ShardReader, tokens_per_second: float) -> tuple[float, float]:
    """Of a consumer that computes at this speed: the share of its time that it waits for batches,
    and the processor seconds of the preparing thread for each second."""
    matrix = torch.rand(256, 256)
    started = time.perf_counter()
    for _ in range(500):
        matrix @ matrix
    one = (time.perf_counter() - started) / 500
    step_seconds = MICRO_BATCH * reader.seq_len / tokens_per_second
    order = RowOrder(0, [reader.rows], MICRO_BATCH)

    def batches(step: int) -> Iterator[Batch]:
        places = order.rows_of_rank(step, 0, 1)
        yield batch_of([place and reader.row(place[1]) for place in places], reader.seq_len)

    with Prefetcher(batches, 0, DEPTH) as prefetcher:
        started, mine, all_threads = time.perf_counter(), time.thread_time(), time.process_time()
        for step in range(max(2, round(SECONDS / step_seconds))):
            for _ in prefetcher.batches(step):
                for _ in range(max(1, round(step_seconds / one))):
                    matrix @ matrix
        took = time.perf_counter() - started
        preparing = (time.process_time() - all_threads) - (time.thread_time() - mine)
        return prefetcher.wait_seconds / took, preparing / took


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seq-lens", default="512,1024,8192,32768")
    parser.add_argument("--megatokens", type=float, default=32)
    parser.add_argument("--speeds", default="2500,50000", help="tokens per second of a worker")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    speeds = [float(speed) for speed in options.speeds.split(",") if speed]
    table = Table()
    for heading in ("tokens of a row", "rows read/s", "rows made batches/s", "tokens/s"):
        table.add_column(heading, justify="right")
    for speed in speeds:
        table.add_column(f"waits at {speed:,.0f} tokens/s", justify="right")
        table.add_column("thread", justify="right")
    for seq_len in map(int, options.seq_lens.split(",")):
        with tempfile.TemporaryDirectory(prefix="treespan-rows-") as folder:
            store = Store(str(Path(folder)))
            write_shards(store, seq_len, int(options.megatokens * 1e6))
            (reader,) = open_readers(store, "shards")
            read, made = rates(reader)
            tokens = seq_len / (1 / read + 1 / made)
            cells = [f"{share:.2%}" for speed in speeds for share in waits(reader, speed)]
            table.add_row(f"{seq_len:,}", f"{read:,.0f}", f"{made:,.0f}", f"{tokens:,.0f}", *cells)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
