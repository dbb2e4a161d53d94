"""Exact similarity of candidate pairs, from the stored shingle sets of both files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.near_dedup import jaccard_of_pairs
from treespan.jobs.curate.scratch import PARTITION_SHIFT, SIMILAR
from treespan.platform.partitions import Receipt, map_partitions
from treespan.platform.schemas import part_name
from treespan.platform.steps import Context
from treespan.platform.store import Store

PAIRS_PER_CHUNK = 200_000
"""Pairs that one task verifies; it holds their shingle sets, each once."""

PAIRS = pa.schema([("a", pa.uint64()), ("b", pa.uint64())])


def verify_pairs(
    context: Context, pairs: NDArray[np.uint64], threshold: float
) -> dict[tuple[int, int], float]:
    """Those of the sorted uint64 [pairs, 2] that are similar enough, with their similarity."""
    store, work = context.store, context.work
    chunks = -(-len(pairs) // PAIRS_PER_CHUNK)
    for chunk in range(chunks):
        some = pairs[chunk * PAIRS_PER_CHUNK : (chunk + 1) * PAIRS_PER_CHUNK]
        columns = [pa.array(some[:, 0]), pa.array(some[:, 1])]
        batch = pa.RecordBatch.from_arrays(columns, schema=PAIRS)
        store.write_table(f"{work}/pairs/{part_name(chunk)}", PAIRS, [batch])

    def verify(chunk: int) -> Receipt:
        return verify_chunk(store, work, chunk, threshold)

    map_partitions(context, "compare", verify, chunks)
    similar: dict[tuple[int, int], float] = {}
    for chunk in range(chunks):
        table = store.read_table(f"{work}/similar/{part_name(chunk)}")
        ends = zip(table["a"].to_pylist(), table["b"].to_pylist(), strict=True)
        similar.update(zip(ends, table["similarity"].to_pylist(), strict=True))
    return similar


def verify_chunk(store: Store, work: str, chunk: int, threshold: float) -> Receipt:
    """Verify the pairs of one chunk."""
    table = store.read_table(f"{work}/pairs/{part_name(chunk)}")
    first, second = table["a"].to_numpy(), table["b"].to_numpy()
    refs = np.unique(np.concatenate([first, second]))
    values, offsets = read_sets(store, work, refs)
    similarity = jaccard_of_pairs(
        values, offsets, np.searchsorted(refs, first), np.searchsorted(refs, second)
    )
    enough = similarity >= threshold
    columns = [pa.array(column[enough]) for column in (first, second, similarity)]
    batch = pa.RecordBatch.from_arrays(columns, schema=SIMILAR)
    store.write_table(f"{work}/similar/{part_name(chunk)}", SIMILAR, [batch])
    return Receipt([], {"similar": int(enough.sum())})


def read_sets(
    store: Store, work: str, refs: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The shingle sets of ``refs`` (sorted, unique) one after the other, and their offsets.

    Opens only the parts that hold them, and copies nothing but them out of a part.
    """
    none = np.empty(0, dtype=np.uint64)
    found: list[NDArray[np.uint64]] = [none]
    for partition in np.unique(refs >> np.uint64(PARTITION_SHIFT)):
        wanted = refs[refs >> np.uint64(PARTITION_SHIFT) == partition]
        with store.open_table(f"{work}/shingles/{part_name(int(partition))}") as reader:
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                places = np.flatnonzero(np.isin(batch["ref"].to_numpy(), wanted))
                bounds = batch["hashes"].offsets.to_numpy()
                values = batch["hashes"].values.to_numpy()
                found += [values[bounds[p] : bounds[p + 1]].copy() for p in places]
    offsets = np.cumsum([0] + [len(hashes) for hashes in found[1:]], dtype=np.int64)
    return np.concatenate(found), offsets
