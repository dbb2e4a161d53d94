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

from treespan.jobs.curate.kernels import compiled
from treespan.jobs.curate.known import KnownPart
from treespan.jobs.curate.links import rows_of_kind
from treespan.jobs.curate.near_dedup import unique_pairs
from treespan.jobs.curate.scratch import EDGES, HOT, make_ref
from treespan.jobs.curate.signature import PERMUTATIONS, signature
from treespan.jobs.curate.verify import pairs_table, read_sets, similar_pairs
from treespan.platform.partitions import Receipt, map_partitions
from treespan.platform.schemas import part_name
from treespan.platform.shuffle import tables_of
from treespan.platform.steps import Context
from treespan.platform.store import Store

MARGIN = 0.15
"""An estimate so far below the threshold is not looked at (ours): at 0.85 and 256 values that is
more than six standard deviations."""

ROWS_PER_TILE = 4096
"""Files that are compared at once to all later ones of their bucket (ours)."""

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
    tasks = tasks_of(staying(members, decided))

    def compare(number: int) -> Receipt:
        tiles = [
            pairs_of_tile(store, work, first, refs, threshold, known)
            for first, refs in tasks[number]
        ]
        pairs = pairs_table(unique_pairs(np.concatenate(tiles)))
        similar = similar_pairs(store, work, pairs, threshold, known)
        target = f"{work}/{label}/{part_name(number)}"
        entry = store.write_table(target, EDGES, similar.to_batches())
        return Receipt([entry], {"similar": similar.num_rows})

    return map_partitions(context, label, compare, len(tasks))


def staying(members: NDArray[np.uint64], decided: pa.Table) -> NDArray[np.uint64]:
    """The ``members`` whose content stays, given the ``DECIDED`` rows.

    A member names a content. It may itself have gone for a copy; then that one tells.
    """
    ref, matched = decided["ref"].to_numpy(), decided["matched"].to_numpy()
    near = pc.equal(decided["rule"], "near-duplicate").to_numpy(zero_copy_only=False)
    gone = ref[near]
    with_copy = np.isin(matched[~near], gone)
    gone = np.concatenate([gone, ref[~near][with_copy]])
    return members[~np.isin(members[:, 1], gone)]


Tile = tuple[int, NDArray[np.uint64]]
"""How many refs are compared to those after them, and these and all after them in the bucket."""


def tasks_of(members: NDArray[np.uint64]) -> list[list[Tile]]:
    """What each task compares, for sorted rows of bucket and ref.

    Similar files share many buckets; those of one membership are one.
    """
    bounds = np.flatnonzero(members[1:, 0] != members[:-1, 0]) + 1
    buckets = {refs.tobytes(): refs for refs in np.split(members[:, 1], bounds)}
    tasks: list[list[Tile]] = []
    room = 0
    for refs in buckets.values():
        for start in range(0, len(refs) - 1, ROWS_PER_TILE):
            tile = (min(ROWS_PER_TILE, len(refs) - start), refs[start:])
            pairs = tile[0] * len(tile[1])
            if pairs > room:
                tasks.append([])
                room = PAIRS_PER_TASK
            tasks[-1].append(tile)
            room -= pairs
    return tasks


def pairs_of_tile(
    store: Store,
    work: str,
    first: int,
    refs: NDArray[np.uint64],
    threshold: float,
    known: Sequence[KnownPart],
) -> NDArray[np.uint64]:
    """Pairs of the ``first`` of ``refs`` with later ones that may be similar: uint64 [pairs, 2]."""
    values, offsets = read_sets(store, work, refs, known)
    pairs = refs[near_places(values, offsets, first, threshold)]
    earlier = make_ref(min((part.partition for part in known), default=1 << 31), 0)
    # Files of earlier corpora, both of them: neither may go.
    return pairs[pairs[:, 0] < earlier]


def near_places(
    values: NDArray[np.uint64], offsets: NDArray[np.int64], first: int, threshold: float
) -> NDArray[np.int64]:
    """Which of the ``first`` sets may be similar to which later one: int64 [pairs, 2].

    Set i is ``values[offsets[i]:offsets[i + 1]]``. Sizes and estimates decide.
    """
    sizes = np.diff(offsets)
    signatures = np.empty((len(sizes), PERMUTATIONS), dtype=np.uint32)
    for place in range(len(sizes)):
        signatures[place] = signature(values[offsets[place] : offsets[place + 1]])
    agreeing = int(max(threshold - MARGIN, 0.0) * PERMUTATIONS)
    places: NDArray[np.int64] = _near(signatures, sizes, first, agreeing, threshold - 1e-9)
    return places


@compiled
def _near(
    signatures: NDArray[np.uint32],
    sizes: NDArray[np.int64],
    first: int,
    agreeing: int,
    threshold: float,
) -> NDArray[np.int64]:
    capacity = 1024
    pairs = np.empty((capacity, 2), dtype=np.int64)
    found = 0
    for i in range(first):
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
