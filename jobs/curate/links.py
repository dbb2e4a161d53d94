"""Who meets whom: the one shuffle of curation, over hashes, by Ray Data.

Content keys and band keys go through it together. Rows are grouped by a slice of the key, some
hundred thousand rows each, and within a group the equal keys are found by sorting: a group for
every key would cost a function call per key, and nearly all keys are alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray

from treespan.jobs.curate.exact_dedup import exact_links
from treespan.jobs.curate.near_dedup import bucket_pairs, unique_pairs
from treespan.jobs.curate.scratch import CANDIDATE, EXACT, LINKS, SKIPPED
from treespan.platform.store import Store

ROWS_PER_SLICE = 2_000_000
"""Meetings in a group: some 60 MB, far below a worker's memory."""


class Links:
    """The links of a corpus."""

    def __init__(self) -> None:
        self._exact: list[NDArray[np.uint64]] = []
        self._candidates: list[NDArray[np.uint64]] = []
        self.skipped = 0

    def add(self, table: pa.Table) -> None:
        """Take in rows of ``LINKS``, in any order."""
        kinds = table["kind"].to_numpy()
        pairs = np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)
        self._exact.append(pairs[kinds == EXACT])
        self._candidates.append(pairs[kinds == CANDIDATE])
        self.skipped += int(pairs[kinds == SKIPPED, 0].sum())

    @property
    def exact(self) -> NDArray[np.uint64]:
        """Pairs of equal content: uint64 [pairs, 2], sorted."""
        return _joined(self._exact)

    @property
    def candidates(self) -> NDArray[np.uint64]:
        """Pairs that may be similar: uint64 [pairs, 2], sorted, each once."""
        return _joined(self._candidates)


def find_links(store: Store, tables: Sequence[str], rows: int, threshold: float) -> Links:
    """All links among the ``MEETINGS`` in ``tables``, which have ``rows`` rows together."""
    slices = max(1, -(-rows // ROWS_PER_SLICE))

    def load(batch: dict[str, NDArray[Any]]) -> Iterator[pa.Table]:
        for name in batch["table"]:
            with store.open_table(str(name)) as reader:
                for index in range(reader.num_record_batches):
                    table = pa.Table.from_batches([reader.get_batch(index)])
                    slice_of = table["key"].to_numpy() % np.uint64(slices)
                    yield table.append_column("slice", pa.array(slice_of))

    def link(group: pa.Table) -> pa.Table:
        return links_of(group, threshold)

    found = Links()
    items = [{"table": name} for name in tables]
    meetings = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        load, batch_size=1
    )
    links = meetings.groupby("slice", num_partitions=slices).map_groups(
        link, batch_format="pyarrow"
    )
    for batch in links.iter_batches(batch_format="pyarrow", batch_size=None):
        found.add(batch)
    return found


def links_of(meetings: pa.Table, threshold: float) -> pa.Table:
    """The ``LINKS`` of a set of ``MEETINGS`` that holds all rows of its keys, in any order."""
    exact = meetings["exact"].to_numpy()
    key, content, size, ref = (
        meetings[name].to_numpy() for name in ("key", "content", "shingles", "ref")
    )
    copies = exact_links(content[exact], ref[exact])
    band = ~exact
    pairs, skipped = bucket_pairs(key[band], size[band], content[band], ref[band], threshold)
    report = np.array([[skipped, 0]], dtype=np.uint64)
    kinds = np.repeat(
        np.array([EXACT, CANDIDATE, SKIPPED], dtype=np.uint8), [len(copies), len(pairs), 1]
    )
    both = np.concatenate([copies, pairs, report])
    return pa.Table.from_arrays(
        [pa.array(kinds), pa.array(both[:, 0]), pa.array(both[:, 1])], schema=LINKS
    )


def _joined(parts: list[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return unique_pairs(np.concatenate([np.empty((0, 2), dtype=np.uint64), *parts]))
