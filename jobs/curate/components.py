"""Connected components of duplicates: what must be decided together.

Up to so many edges the driver finds them; more are found on Ray by rounds of *large star* and *small
star* (Kiveris et al. 2014, "Connected components in MapReduce and beyond"): each round replaces edges
by edges to the least neighbour, components stay as they are, and what is left at the end are stars
around the least ref of each component. A component's root is that ref either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from treespan.jobs.curate.links import rows_of_kind
from treespan.jobs.curate.near_dedup import unique_pairs
from treespan.jobs.curate.scratch import EDGES, EXACT, PAIRS
from treespan.jobs.curate.verify import pairs_table
from treespan.platform.schemas import part_name
from treespan.platform.shuffle import mixed, shuffle, tables_of, total
from treespan.platform.steps import Context

EDGES_PER_GROUP = 500_000
"""Edges that one task decides on, or those of one large component (ours)."""


def components(pairs: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Refs in uint64 [pairs, 2], sorted, and the root of each: both uint64 [refs]."""
    refs, flat = np.unique(pairs, return_inverse=True)
    ends = flat.reshape(-1, 2)
    graph = coo_array(
        (np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), (len(refs),) * 2
    )
    count, labels = connected_components(graph, directed=False)
    least = np.full(count, len(refs), dtype=np.int64)
    np.minimum.at(least, labels, np.arange(len(refs)))
    return refs, refs[least[labels]] if len(refs) else refs


def group_edges(
    context: Context, label: str, tables: Sequence[str], edges: int, on_driver: int
) -> list[str]:
    """The edges in ``tables`` in groups of whole components: tables of ``EDGES`` in ``work/LABEL``.

    ``tables`` are ``EDGES``, or ``LINKS`` of which those of equal content count.
    """
    if edges > on_driver:
        return _group_on_ray(context, label, tables, edges)
    store, work = context.store, context.work
    found = [as_edges(store.read_table(name)) for name in tables]
    table = pa.concat_tables([EDGES.empty_table(), *found]).combine_chunks()
    ends = _ends(table)
    refs, roots = components(ends)
    root_of_edge = roots[np.searchsorted(refs, ends[:, 0])]
    order = np.argsort(root_of_edge, kind="stable")
    starts = np.flatnonzero(np.diff(root_of_edge[order], prepend=np.uint64(2**64 - 1)))
    names: list[str] = []
    for start, end in _whole(starts.tolist(), len(order)):
        names.append(f"{work}/{label}/{part_name(len(names))}")
        some = table.take(pa.array(order[start:end]))
        store.write_table(names[-1], EDGES, some.to_batches())
    return names


def as_edges(table: pa.Table) -> pa.Table:
    """The links of equal content if ``table`` is one of ``LINKS``; else itself."""
    if "kind" not in table.column_names:
        return table
    exact = rows_of_kind(table, EXACT)
    columns = [pa.array(exact[:, 0]), pa.array(exact[:, 1]), pa.nulls(len(exact), pa.float64())]
    return pa.Table.from_arrays(columns, schema=EDGES)


def _whole(starts: Sequence[int], edges: int) -> list[tuple[int, int]]:
    """Ranges of whole components, each as short as reaches ``EDGES_PER_GROUP``."""
    ranges: list[tuple[int, int]] = []
    begun = 0
    for end in [*starts[1:], edges]:
        if end - begun >= EDGES_PER_GROUP or (end == edges and end > begun):
            ranges.append((begun, end))
            begun = end
    return ranges


# -- on Ray ----------------------------------------------------------------------------------------


def _group_on_ray(context: Context, label: str, tables: Sequence[str], edges: int) -> list[str]:
    roots = roots_on_ray(context, f"{label}/stars", tables, edges)
    joined = shuffle(
        context,
        f"{label}/rooted",
        [*roots, *tables],
        2 * edges,
        key=lambda rows: rows["a"].to_numpy(),
        reduce=_join_roots,
        expand=_to_join,
    )
    grouped = shuffle(
        context,
        f"{label}/grouped",
        tables_of(joined),
        edges,
        key=lambda rows: rows["root"].to_numpy(),
        reduce=lambda rows: (rows.select(EDGES.names).cast(EDGES), {}),
    )
    return tables_of(grouped)


def roots_on_ray(context: Context, label: str, tables: Sequence[str], edges: int) -> list[str]:
    """Tables of ``PAIRS``: every ref that is no root itself, and its root."""
    before: tuple[int, int] | None = None
    stars: Sequence[str] = tables
    for number in range(64):  # it takes some log2 of the longest path; then nothing moves
        large = shuffle(
            context, f"{label}/large-{number}", stars, 2 * edges, _first, _large_star, _both_ways
        )
        small = shuffle(
            context, f"{label}/small-{number}", tables_of(large), edges, _first, _small_star, _down
        )
        stars = tables_of(small)
        after = total(small, "rows"), total(small, "sum") % 2**64
        if after == before:
            return list(stars)
        before = after
    raise RuntimeError("connected components did not settle in 64 rounds")


def _first(rows: pa.Table) -> NDArray[np.uint64]:
    first: NDArray[np.uint64] = rows["a"].to_numpy()
    return first


def _ends(rows: pa.Table) -> NDArray[np.uint64]:
    return np.stack([rows["a"].to_numpy(), rows["b"].to_numpy()], axis=1)


def _both_ways(rows: pa.Table) -> pa.Table:
    ends = _ends(as_edges(rows))
    return pairs_table(np.concatenate([ends, ends[:, ::-1]]))


def _down(rows: pa.Table) -> pa.Table:
    """From the greater ref to the less."""
    return pairs_table(np.sort(_ends(rows), axis=1)[:, ::-1])


def _large_star(rows: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
    """Joins each ref's greater neighbours to the least of it and its neighbours."""
    pairs = unique_pairs(_ends(rows))
    least = np.minimum(_least_neighbour(pairs), pairs[:, 0])
    greater = pairs[:, 1] > pairs[:, 0]
    return _counted(np.stack([pairs[greater, 1], least[greater]], axis=1))


def _small_star(rows: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
    """Joins each ref and its lesser neighbours to the least of them."""
    pairs = unique_pairs(_ends(rows))
    least = _least_neighbour(pairs)
    joined = np.concatenate(
        [np.stack([pairs[:, 0], least], axis=1), np.stack([pairs[:, 1], least], axis=1)]
    )
    return _counted(joined[joined[:, 0] != joined[:, 1]])


def _least_neighbour(pairs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """For each row (a, b), sorted: the least b of that a."""
    first = np.concatenate((np.ones(min(1, len(pairs)), np.bool_), pairs[1:, 0] != pairs[:-1, 0]))
    least: NDArray[np.uint64] = pairs[np.flatnonzero(first)[np.cumsum(first) - 1], 1]
    return least


def _counted(pairs: NDArray[np.uint64]) -> tuple[pa.Table, Mapping[str, int]]:
    pairs = unique_pairs(pairs)
    table = pairs_table(pairs)
    # A sum does not depend on how rows are spread over slices, so it tells when nothing moves.
    of_rows = mixed(mixed(pairs[:, 0]) ^ pairs[:, 1])
    return table, {"rows": len(pairs), "sum": int(of_rows.sum(dtype=np.uint64))}


def _to_join(rows: pa.Table) -> pa.Table:
    """Roots and edges in one shape: an edge has no root yet, a root's row has no similarity."""
    if rows.schema.names == PAIRS.names:
        nothing = pa.nulls(rows.num_rows, pa.float64())
        return rows.append_column("similarity", nothing).append_column(
            "is_root", pa.array(np.ones(rows.num_rows, dtype=np.bool_))
        )
    edges = as_edges(rows)
    return edges.append_column("is_root", pa.array(np.zeros(edges.num_rows, dtype=np.bool_)))


def _join_roots(rows: pa.Table) -> tuple[pa.Table, Mapping[str, int]]:
    is_root = rows["is_root"].to_numpy()
    ends = _ends(rows)
    roots = unique_pairs(ends[is_root])
    edges = rows.filter(pa.array(~is_root)).select(EDGES.names)
    first = edges["a"].to_numpy()
    place = np.searchsorted(roots[:, 0], first)
    found = place < len(roots)
    found[found] = roots[place[found], 0] == first[found]
    root_of = first.copy()
    root_of[found] = roots[place[found], 1]
    return edges.append_column("root", pa.array(root_of)), {}
