"""What hot buckets had left for later: the files that stay are asked again, all against all.

A bucket of many files proposes only some pairs (``near_dedup.MAX_PARTNERS``). Most of its files go
by those. Of the rest every pair is compared, first by the estimate of their signatures, which costs
some 30 ns, then exactly where that is near the threshold or above. What is found becomes an edge
like any other and everything is decided anew, until nothing is found: so no two files that stay
share a bucket and are similar, however hot it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from treespan.jobs.curate.known import KnownPart
from treespan.jobs.curate.links import rows_of_kind
from treespan.jobs.curate.near_dedup import jaccard_of_pairs, unique_pairs
from treespan.jobs.curate.scratch import EDGES, HOT, make_ref
from treespan.jobs.curate.signature import PERMUTATIONS, signature
from treespan.jobs.curate.verify import read_sets
from treespan.platform.kernels import compiled
from treespan.platform.partitions import Receipt, map_parts
from treespan.platform.schemas import part_name
from treespan.platform.shuffle import tables_of
from treespan.platform.steps import Context

MARGIN = 0.15
"""An estimate so far below the threshold is not looked at (ours): at 0.85 and 256 values that is
more than six standard deviations."""

ROWS_PER_TILE = 4096
"""Files that are compared at once to all later ones of their bucket (ours)."""

ROWS_AT_ONCE = 64
"""Files whose pairs are held before they are measured: at most so many for each later one (ours)."""

PAIRS_PER_TASK = 100_000_000
"""Comparisons of signatures by one task, some seconds (ours)."""


def hot_members(context: Context, links: Sequence[Receipt]) -> NDArray[np.uint64]:
    """Members of all hot buckets, as sorted rows of bucket and ref: uint64 [members, 2]."""
    found = [np.empty((0, 2), dtype=np.uint64)]
    found += [rows_of_kind(context.store.read_table(name), HOT) for name in tables_of(links)]
    return unique_pairs(np.concatenate(found))


def ask_again(
    context: Context,
    round_number: int,
    members: NDArray[np.uint64],
    decided: pa.Table,
    threshold: float,
    known: Sequence[KnownPart],
) -> list[Receipt]:
    """Write ``work/again-N/part-*.arrow``, the similar pairs among ``members`` that stay."""
    store, work = context.store, context.work
    label = f"again-{round_number}"
    known_from = make_ref(min((part.partition for part in known), default=1 << 31), 0)

    def compare(number: int, tiles: Sequence[Tile]) -> Receipt:
        found = [
            tile_edges(*read_sets(store, work, refs, known), first, refs, threshold)
            for first, refs in tiles
        ]
        edges = distinct_edges(pa.concat_tables([EDGES.empty_table(), *found]))
        target = f"{work}/{label}/{part_name(number)}"
        entry = store.write_table(target, EDGES, edges.to_batches())
        return Receipt([entry], {"similar": edges.num_rows})

    return map_parts(context, label, compare, tasks_of(staying(members, decided), known_from))


def staying(members: NDArray[np.uint64], decided: pa.Table) -> NDArray[np.uint64]:
    """The ``members`` whose content stays, given the ``DECIDED`` rows.

    A member names a content. It may itself have gone for a copy; then that one tells.
    """
    ref, matched = decided["ref"].to_numpy(), decided["matched"].to_numpy()
    copy = pc.equal(decided["rule"], "exact-duplicate").to_numpy(zero_copy_only=False)
    gone = ref[~copy]
    gone = np.concatenate([gone, ref[copy][np.isin(matched[copy], gone)]])
    return members[~np.isin(members[:, 1], gone)]


Tile = tuple[int, NDArray[np.uint64]]
"""How many refs are compared to those after them, and these and all after them in the bucket."""


def tasks_of(members: NDArray[np.uint64], known_from: int) -> list[list[Tile]]:
    """What each task compares, for sorted rows of bucket and ref.

    Similar files share many buckets; those of one membership are one. Refs from ``known_from`` on
    are of earlier corpora: they are compared to new files, and not to each other.
    """
    bounds = np.flatnonzero(members[1:, 0] != members[:-1, 0]) + 1
    buckets = {refs.tobytes(): refs for refs in np.split(members[:, 1], bounds)}
    tasks: list[list[Tile]] = []
    room = 0
    for refs in buckets.values():
        new = min(int(np.searchsorted(refs, np.uint64(known_from))), len(refs) - 1)
        for start in range(0, new, ROWS_PER_TILE):
            tile = (min(ROWS_PER_TILE, new - start), refs[start:])
            pairs = tile[0] * len(tile[1])
            if pairs > room:
                tasks.append([])
                room = PAIRS_PER_TASK
            tasks[-1].append(tile)
            room -= pairs
    return tasks


def tile_edges(
    values: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    first: int,
    refs: NDArray[np.uint64],
    threshold: float,
) -> pa.Table:
    """The similar pairs of the ``first`` of ``refs`` with later ones, as ``EDGES``.

    Set i is ``values[offsets[i]:offsets[i + 1]]``. Only what the sizes and the estimate let pass is
    measured, and only what is similar is held.
    """
    signatures = np.empty((len(refs), PERMUTATIONS), dtype=np.uint32)
    for place in range(len(refs)):
        signatures[place] = signature(values[offsets[place] : offsets[place + 1]])
    agreeing = int(max(threshold - MARGIN, 0.0) * PERMUTATIONS)
    found = [EDGES.empty_table()]
    for start in range(0, first, ROWS_AT_ONCE):
        rows = range(start, min(start + ROWS_AT_ONCE, first))
        near = _near(
            signatures, np.diff(offsets), rows.start, rows.stop, agreeing, threshold - 1e-9
        )
        similarity = jaccard_of_pairs(values, offsets, near[:, 0], near[:, 1])
        enough = similarity >= threshold
        ends = refs[near[enough]]
        columns = [pa.array(ends[:, 0]), pa.array(ends[:, 1]), pa.array(similarity[enough])]
        found.append(pa.Table.from_arrays(columns, schema=EDGES))
    return pa.concat_tables(found)


def distinct_edges(edges: pa.Table) -> pa.Table:
    """Each edge once."""
    return edges.group_by(["a", "b", "similarity"], use_threads=False).aggregate([]).cast(EDGES)


@compiled
def _near(
    signatures: NDArray[np.uint32],
    sizes: NDArray[np.int64],
    start: int,
    end: int,
    agreeing: int,
    threshold: float,
) -> NDArray[np.int64]:
    capacity = 1024
    pairs = np.empty((capacity, 2), dtype=np.int64)
    found = 0
    for i in range(start, end):
        for j in range(i + 1, len(sizes)):
            if min(sizes[i], sizes[j]) < threshold * max(sizes[i], sizes[j]):
                continue
            equal = 0
            for k in range(signatures.shape[1]):
                equal += signatures[i, k] == signatures[j, k]
            if equal >= agreeing:
                if found == capacity:
                    capacity *= 2
                    larger = np.empty((capacity, 2), dtype=np.int64)
                    larger[:found] = pairs
                    pairs = larger
                pairs[found, 0] = i
                pairs[found, 1] = j
                found += 1
    return pairs[:found]
