"""Finding single files in the tables of a step, without reading what is not asked for.

A file whose repository is known lies in one part. One that is known by its id only may be in any:
then the column of ids is scanned, part by part and batch by batch, until all are found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from treespan.platform.draws import partition_of
from treespan.platform.steps import Output
from treespan.platform.store import Store


@dataclass(frozen=True)
class Place:
    """Where a file's row is, and what the file is called."""

    part: str
    batch: int
    row: int
    repo: str
    path: str

    @property
    def name(self) -> str:
        """``REPO/PATH``."""
        return f"{self.repo}/{self.path}"


def part_of(output: Output, folder: str, repo: str) -> str | None:
    """The part of the table ``folder`` that holds all rows of ``repo``; None if there is no table."""
    parts = output.files(folder)
    return parts[partition_of(repo, len(parts))] if parts else None


def rows_of(output: Output, folder: str, repo: str, path: str) -> list[dict[str, Any]]:
    """The rows of ``repo/path`` in the table ``folder`` of ``output``, without their content."""
    part = part_of(output, folder, repo)
    if part is None:
        return []
    found: list[dict[str, Any]] = []
    with output.store.open_table(part) as reader:
        columns = [name for name in reader.schema.names if name not in ("content", "signature")]
    with output.store.open_table(part, columns) as reader:
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            wanted = pc.and_(pc.equal(batch["repo"], repo), pc.equal(batch["path"], path))
            found += batch.filter(wanted).select(columns).to_pylist()
    return found


def places_of(
    output: Output, file_ids: Collection[str], parts: Iterable[str] | None = None
) -> dict[str, Place]:
    """Where the files called ``file_ids`` are in the table ``files``, as far as they are there.

    ``parts`` says where to look if that is known; all parts are scanned otherwise.
    """
    missing = set(file_ids)
    found: dict[str, Place] = {}
    for part in output.files("files") if parts is None else parts:
        if not missing:
            break
        for file_id, place in _places(output.store, part, missing):
            found[file_id] = place
            missing.discard(file_id)
    return found


def text_at(store: Store, place: Place) -> str:
    """The content of the file at ``place``; reads the contents of one batch."""
    with store.open_table(place.part, ["content"]) as reader:
        return str(reader.get_batch(place.batch)["content"][place.row].as_py())


def _places(store: Store, part: str, file_ids: Collection[str]) -> Iterator[tuple[str, Place]]:
    wanted = pa.array(sorted(file_ids), type=pa.string())
    hits: dict[int, list[int]] = {}
    with store.open_table(part, ["file_id"]) as reader:
        for number in range(reader.num_record_batches):
            found = pc.is_in(reader.get_batch(number)["file_id"], value_set=wanted)
            rows = pc.indices_nonzero(found).to_pylist()
            if rows:
                hits[number] = rows
    if not hits:
        return
    with store.open_table(part, ["file_id", "repo", "path"]) as reader:
        for number, rows in hits.items():
            for row, names in zip(
                rows, reader.get_batch(number).take(pa.array(rows)).to_pylist(), strict=True
            ):
                yield names["file_id"], Place(part, number, row, names["repo"], names["path"])
