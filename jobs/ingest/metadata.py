"""Stars and licences of repositories from tables beside the sources, joined by name.

Git keeps no stars. Whoever exports them from a forge has a table with a row per repository; the
driver reads it once and hands on only what it says of repositories that are there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from treespan.jobs.ingest.bounded_stream import unpack
from treespan.jobs.ingest.config import MetadataTable
from treespan.jobs.ingest.detect_licence import NO_ASSERTION
from treespan.jobs.ingest.location import Location, find_files
from treespan.jobs.ingest.repository import Repository, Snapshot
from treespan.jobs.ingest.table import stated_licence, whole_number
from treespan.jobs.ingest.table_scan import (
    JSON_SUFFIXES,
    PARQUET_SUFFIXES,
    Row,
    column_names,
    count_groups,
    read_rows,
)
from treespan.platform.errors import UserError

CSV_SUFFIXES = (".csv", ".csv.gz", ".csv.zst")


@dataclass(frozen=True)
class Known:
    """What tables say of a repository."""

    stars: int = -1
    licence: str = ""

    def merged(self, other: Known) -> Known:
        """Of several rows the most stars count, and the first licence that says something."""
        return Known(max(self.stars, other.stars), self.licence or other.licence)


@dataclass(frozen=True)
class Described:
    """A repository with what tables say of it.

    Of stars the larger number counts, if the source has some of its own: they are taken at
    different times, and grow. A licence fills in where the source knows none.
    """

    repository: Repository
    known: Known

    @property
    def name(self) -> str:
        return self.repository.name

    @property
    def commit(self) -> str:
        return self.repository.commit

    @property
    def source(self) -> str:
        return self.repository.source

    @property
    def origin(self) -> str:
        return self.repository.origin

    def state(self) -> Any:
        """That of the repository; the tables' are beside it in the fingerprint."""
        return self.repository.state()

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        with self.repository.open() as snapshot:
            yield replace(
                snapshot,
                stars=max(snapshot.stars, self.known.stars),
                licence=snapshot.licence or self.known.licence,
            )


def metadata_states(tables: Sequence[MetadataTable]) -> list[list[Any]]:
    """What changes when a table does. Raises ``UserError`` if one is missing."""
    return [[table.path, "metadata", [file.state() for file in _files(table)]] for table in tables]


def read_metadata(
    tables: Sequence[MetadataTable], names: Collection[str]
) -> tuple[dict[str, Known], dict[str, int]]:
    """What ``tables`` say of the repositories ``names``, and counts.

    Counts: ``rows`` of the tables, ``rows_of_others`` that match no repository, ``repositories``
    that were matched. Raises ``UserError`` for a missing file or column.
    """
    present = frozenset(names)
    found: dict[str, Known] = {}
    rows = others = 0
    for table in tables:

        def wanted(name: str, prefix: str = table.prefix) -> bool:
            nonlocal rows, others
            rows += 1
            others += prefix + name not in present
            return prefix + name in present

        for file in _files(table):
            for row in _rows(file, _columns(table, file), wanted):
                licence = stated_licence(row.get("licence"))
                known = Known(
                    max(whole_number(row.get("stars"), -1), -1),
                    "" if licence == NO_ASSERTION else licence,
                )
                name = table.prefix + row["repo"]
                found[name] = found.get(name, Known()).merged(known)
    return found, {"rows": rows, "rows_of_others": others, "repositories": len(found)}


def _files(table: MetadataTable) -> list[Location]:
    return find_files(table.path, "metadata", PARQUET_SUFFIXES + JSON_SUFFIXES + CSV_SUFFIXES)[0]


def _columns(table: MetadataTable, file: Location) -> dict[str, str]:
    """Column by field; one that the recipe does not name may be missing, ``repo`` never."""
    present = _csv_names(file) if _is_csv(file) else column_names(file)
    found = {}
    for field, column in table.columns.to_dict().items():
        if column in present:
            found[field] = column
        elif field == "repo" or field in table.columns.model_fields_set:
            near = difflib.get_close_matches(column, present, n=1, cutoff=0.4)
            has = f"the nearest is {near[0]!r}" if near else f"it has {', '.join(present[:20])}"
            raise UserError(
                f"metadata {file.path} has no column {column!r} ({field}); {has}.",
                f"Name the right one as columns.{field}.",
            )
    if len(found) < 2:
        raise UserError(
            f"metadata {file.path} has neither stars nor licences; it has {', '.join(present)}.",
            "Name its columns as columns.stars or columns.licence.",
        )
    return found


def _rows(
    file: Location, columns: Mapping[str, str], wanted: Callable[[str], bool]
) -> Iterator[Row]:
    if _is_csv(file):
        yield from _csv_rows(file, columns, wanted)
    else:
        yield from read_rows(file, range(count_groups(file)), columns, wanted)


def _is_csv(file: Location) -> bool:
    return file.name.lower().endswith(CSV_SUFFIXES)


def _csv_names(file: Location) -> list[str]:
    with _csv(file) as reader:
        return list(reader.schema.names)


def _csv_rows(
    file: Location, columns: Mapping[str, str], wanted: Callable[[str], bool]
) -> Iterator[Row]:
    with _csv(file) as reader:
        types = dict.fromkeys(reader.schema.names, pa.string())
    # Types are not guessed: a name of digits is a name.
    with _csv(file, types) as reader:
        for batch in reader:
            lists = {field: batch.column(name).to_pylist() for field, name in columns.items()}
            for place, name in enumerate(lists["repo"]):
                repo = (name or "").strip()
                if wanted(repo):
                    yield {field: values[place] for field, values in lists.items()} | {"repo": repo}


@contextmanager
def _csv(
    file: Location, types: Mapping[str, pa.DataType] | None = None
) -> Iterator[pacsv.CSVStreamingReader]:
    try:
        with (
            file.open() as stream,
            pacsv.open_csv(
                unpack(stream),
                read_options=pacsv.ReadOptions(use_threads=False),
                convert_options=pacsv.ConvertOptions(column_types=types),
            ) as reader,
        ):
            yield reader
    except pa.ArrowInvalid as error:
        raise UserError(
            f"metadata {file.path} is not a readable CSV file ({error}).",
            "Replace it, or leave it out.",
        ) from None
