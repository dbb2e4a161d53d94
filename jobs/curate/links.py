"""Who meets whom: content keys and band keys go through one shuffle, and equal ones make links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.exact_dedup import exact_links
from treespan.jobs.curate.near_dedup import bucket_pairs
from treespan.jobs.curate.scratch import CANDIDATE, EXACT, HOT, LINKS
from treespan.platform.partitions import Receipt
from treespan.platform.shuffle import shuffle
from treespan.platform.steps import Context


def find_links(
    context: Context, tables: Sequence[str], rows: int, threshold: float, known_from: int
) -> list[Receipt]:
    """All links among the ``MEETINGS`` in ``tables``, as tables ``work/links/part-*.arrow``."""
    return shuffle(
        context,
        "links",
        tables,
        rows,
        key=lambda meetings: meetings["key"].to_numpy(),
        reduce=partial(links_of, threshold=threshold, known_from=known_from),
    )


def links_of(
    meetings: pa.Table, threshold: float, known_from: int
) -> tuple[pa.Table, Mapping[str, int]]:
    """The ``LINKS`` of a set of ``MEETINGS`` that holds all rows of its keys, in any order.

    Refs from ``known_from`` on are files of earlier corpora, which are not compared to each other.
    """
    exact = meetings["exact"].to_numpy()
    key, content, size, ref = (
        meetings[name].to_numpy() for name in ("key", "content", "shingles", "ref")
    )
    copies = exact_links(content[exact], ref[exact])
    band = ~exact
    proposed = bucket_pairs(key[band], size[band], content[band], ref[band], threshold)
    parts = [pairs[pairs[:, 0] < known_from] for pairs in (copies, proposed.pairs)]
    parts.append(proposed.hot)
    kinds = np.repeat(np.array([EXACT, CANDIDATE, HOT], dtype=np.uint8), [len(p) for p in parts])
    rows = np.concatenate(parts)
    table = pa.Table.from_arrays(
        [pa.array(kinds), pa.array(rows[:, 0]), pa.array(rows[:, 1])], schema=LINKS
    )
    counts = {
        "exact": len(parts[0]),
        "candidates": len(parts[1]),
        "hot": len(parts[2]),
        "deferred": proposed.deferred,
    }
    return table, counts


def rows_of_kind(links: pa.Table, kind: int) -> NDArray[np.uint64]:
    """Columns a and b of the links of one kind: uint64 [links, 2]."""
    chosen = links["kind"].to_numpy() == kind
    return np.stack([links["a"].to_numpy()[chosen], links["b"].to_numpy()[chosen]], axis=1)
