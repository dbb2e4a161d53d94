"""Candidate pairs, each once, and their exact similarity from the shingle sets of both files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.known import KnownPart, known_sets
from treespan.jobs.curate.links import rows_of_kind
from treespan.jobs.curate.near_dedup import jaccard_of_pairs, unique_pairs
from treespan.jobs.curate.scratch import CANDIDATE, EDGES, PAIRS, PARTITION_SHIFT
from treespan.platform.partitions import Receipt, map_partitions
from treespan.platform.schemas import part_name
from treespan.platform.shuffle import mixed, shuffle, tables_of, total
from treespan.platform.steps import Context
from treespan.platform.store import Store

PAIRS_PER_CHUNK = 200_000
"""Pairs that one task verifies, or those of a slice of the shuffle; it holds their shingle sets, each
once."""


def candidate_chunks(
    context: Context, links: Sequence[Receipt], on_driver: int
) -> tuple[list[str], int]:
    """Tables of ``PAIRS`` with every candidate of ``links`` once, and how many these are.

    Up to ``on_driver`` of them are sorted by the driver; more go through a shuffle. The chunks
    differ then, the pairs do not.
    """
    rows = total(links, "candidates")
    if rows > on_driver:
        chunks = shuffle(
            context, "pairs", tables_of(links), rows, _mixed_pair, _distinct, _candidates
        )
        return tables_of(chunks), total(chunks, "pairs")
    store, work = context.store, context.work
    found = [np.empty((0, 2), dtype=np.uint64)]
    found += [rows_of_kind(store.read_table(name), CANDIDATE) for name in tables_of(links)]
    pairs = unique_pairs(np.concatenate(found))
    names = []
    for start in range(0, len(pairs), PAIRS_PER_CHUNK):
        name = f"{work}/pairs/{part_name(start // PAIRS_PER_CHUNK)}"
        table = pairs_table(pairs[start : start + PAIRS_PER_CHUNK])
        store.write_table(name, PAIRS, table.to_batches())
        names.append(name)
    return names, len(pairs)


def verify_pairs(
    context: Context, chunks: Sequence[str], threshold: float, known: Sequence[KnownPart]
) -> list[Receipt]:
    """Write ``work/similar/part-*.arrow``, the pairs in ``chunks`` that are similar enough."""
    store, work = context.store, context.work

    def verify(chunk: int) -> Receipt:
        pairs = store.read_table(chunks[chunk])
        similar = similar_pairs(store, work, pairs, threshold, known)
        target = f"{work}/similar/{part_name(chunk)}"
        entry = store.write_table(target, EDGES, similar.to_batches())
        return Receipt([entry], {"similar": similar.num_rows})

    return map_partitions(context, "compare", verify, len(chunks))


def similar_pairs(
    store: Store, work: str, pairs: pa.Table, threshold: float, known: Sequence[KnownPart]
) -> pa.Table:
    """Those of ``pairs`` that are similar enough, as ``EDGES``."""
    first, second = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    refs = np.unique(np.concatenate([first, second]))
    values, offsets = read_sets(store, work, refs, known)
    similarity = jaccard_of_pairs(
        values, offsets, np.searchsorted(refs, first), np.searchsorted(refs, second)
    )
    enough = similarity >= threshold
    columns = [pa.array(column[enough]) for column in (first, second, similarity)]
    return pa.Table.from_arrays(columns, schema=EDGES)


def read_sets(
    store: Store, work: str, refs: NDArray[np.uint64], known: Sequence[KnownPart]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The shingle sets of ``refs`` (sorted, unique) one after the other, and their offsets.

    Opens only the parts that hold them, and copies nothing but them out of a part.
    """
    none = np.empty(0, dtype=np.uint64)
    found: list[NDArray[np.uint64]] = [none]
    earlier = {part.partition: part for part in known}
    for partition in np.unique(refs >> np.uint64(PARTITION_SHIFT)):
        wanted = refs[refs >> np.uint64(PARTITION_SHIFT) == partition]
        if int(partition) in earlier:
            found += known_sets(earlier[int(partition)], wanted)
            continue
        name = f"{work}/shingles/{part_name(int(partition))}"
        with store.open_table(name, ["ref"]) as narrow, store.open_table(name) as reader:
            for index in range(reader.num_record_batches):
                held = np.isin(narrow.get_batch(index)["ref"].to_numpy(), wanted)
                if not held.any():  # a remote batch that is not wanted is not fetched
                    continue
                batch = reader.get_batch(index)
                places = np.flatnonzero(held)
                bounds = batch["hashes"].offsets.to_numpy()
                values = batch["hashes"].values.to_numpy()
                found += [values[bounds[p] : bounds[p + 1]].copy() for p in places]
    offsets = np.cumsum([0] + [len(hashes) for hashes in found[1:]], dtype=np.int64)
    return np.concatenate(found), offsets


def pairs_table(pairs: NDArray[np.uint64]) -> pa.Table:
    """uint64 [pairs, 2] as ``PAIRS``."""
    return pa.Table.from_arrays([pa.array(pairs[:, 0]), pa.array(pairs[:, 1])], schema=PAIRS)


def _candidates(links: pa.Table) -> pa.Table:
    return pairs_table(rows_of_kind(links, CANDIDATE))


def _mixed_pair(pairs: pa.Table) -> NDArray[np.uint64]:
    key: NDArray[np.uint64] = mixed(pairs["a"].to_numpy()) ^ pairs["b"].to_numpy()
    return key


def _distinct(pairs: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
    both = np.stack([pairs["a"].to_numpy(), pairs["b"].to_numpy()], axis=1)
    table = pairs_table(unique_pairs(both))
    return table, {"pairs": table.num_rows}
