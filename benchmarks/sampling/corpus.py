"""The files and edges of a finished run, by partition or as one repository."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from treespan.platform.draws import hash64
from treespan.platform.funnel import FILTERS
from treespan.platform.run_record import read_run
from treespan.platform.store import Store

_FILES = ["file_id", "repo", "path", "language", "content", "size"]
_EDGES = ["repo", "source_id", "target_id", "weight"]
ONE = "one repository"

Part = tuple[pa.Table, pa.Table]
"""Files and the edges between them."""


def read_parts(store: Store, run_name: str | None) -> list[Part]:
    """The partitions of the newest run (or the one called ``run_name``) that has a graph."""
    run = read_run(store, run_name, with_step="graph")
    files_from = [name for name in FILTERS if name in run.steps][-1]
    files, edges = run.steps[files_from].files("files"), run.steps["graph"].files("edges")
    return [
        (store.read_table(file_part, _FILES), store.read_table(edge_part, _EDGES))
        for file_part, edge_part in zip(files, edges, strict=True)
    ]


def one_repository(parts: Sequence[Part], share: float) -> Part:
    """Whole repositories, drawn until they hold ``share`` of the bytes, as if they were one.

    Each becomes a folder of it.
    """
    files = pa.concat_tables([part[0] for part in parts])
    edges = pa.concat_tables([part[1] for part in parts])
    sizes = files.group_by("repo").aggregate([("size", "sum")]).to_pylist()
    sizes.sort(key=lambda row: hash64("growth", row["repo"]))
    chosen, taken = [], 0
    wanted = share * sum(row["size_sum"] for row in sizes)
    for row in sizes:
        if taken < wanted:
            chosen.append(row["repo"])
            taken += row["size_sum"]
    files, edges = (_of(table, chosen) for table in (files, edges))
    inside = pc.binary_join_element_wise(files["repo"], files["path"], "/")
    files = files.set_column(files.column_names.index("path"), "path", inside)
    return _renamed(files), _renamed(edges)


def _of(table: pa.Table, repos: Sequence[str]) -> pa.Table:
    return table.filter(pc.is_in(table["repo"], pa.array(repos)))


def _renamed(table: pa.Table) -> pa.Table:
    place = table.column_names.index("repo")
    return table.set_column(place, "repo", pa.array([ONE] * table.num_rows, pa.string()))
