"""Tables in files: a common way to stream rows of Parquet and of JSON lines, in bounded memory.

A *group* is what is read at a time and can be left out: a row group of Parquet, all of a JSON file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from treespan.jobs.ingest.bounded_stream import unpack
from treespan.jobs.ingest.location import Location
from treespan.platform.errors import UserError

PARQUET_SUFFIXES = (".parquet", ".pq")
JSON_SUFFIXES = tuple(
    f"{name}{packed}" for name in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst")
)
BATCH_ROWS = 256
FIRST_ROWS = 100
MAX_LINE_BYTES = 256 << 20
"""A longer line is no row of a table of source files (ours)."""

Row = dict[str, Any]


def is_parquet(location: Location) -> bool:
    """Whether the file is Parquet, by its name; all others are taken for JSON lines."""
    return location.name.lower().endswith(PARQUET_SUFFIXES)


def column_names(location: Location) -> list[str]:
    """The table's columns; of JSON lines, the keys of the first of them."""
    if is_parquet(location):
        with _parquet(location) as file:
            return list(file.schema_arrow.names)
    first = islice(_json_rows(location), FIRST_ROWS)
    return list(dict.fromkeys(key for row, _ in first for key in row))


def count_groups(location: Location) -> int:
    """Row groups of the table."""
    if not is_parquet(location):
        return 1
    with _parquet(location) as file:
        return int(file.num_row_groups)


def count_repositories(location: Location, column: str) -> Iterator[tuple[int, str, int]]:
    """(group, repository, bytes of its rows, roughly); rows without a repository have the name "".

    Of Parquet only the one column is read, and a row counts as the mean of its group.
    """
    if not is_parquet(location):
        for row, size in _json_rows(location):
            yield 0, _name(row.get(column)), size
        return
    with _parquet(location) as file:
        for group in range(file.num_row_groups):
            info = file.metadata.row_group(group)
            mean = info.total_byte_size / max(info.num_rows, 1)
            counts = pc.value_counts(file.read_row_group(group, columns=[column]).column(0))
            for item in counts.to_pylist():
                yield group, _name(item["values"]), int(mean * item["counts"]) + 1


def read_rows(
    location: Location,
    groups: Sequence[int],
    columns: Mapping[str, str],
    wanted: Callable[[str], bool],
) -> Iterator[Row]:
    """Rows by field of ``columns`` whose repository is ``wanted``; content only of those."""
    if not is_parquet(location):
        for row, _ in _json_rows(location):
            if wanted(_name(row.get(columns["repo"]))):
                chosen = {field: row.get(column) for field, column in columns.items()}
                yield chosen | {"repo": _name(chosen["repo"])}
        return
    with _parquet(location) as file:
        # One thread: the workers already use all processors.
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=list(columns.values()), use_threads=False
        ):
            repos = [_name(value) for value in batch.column(columns["repo"]).to_pylist()]
            places = [place for place, repo in enumerate(repos) if wanted(repo)]
            if places:
                taken = batch.take(pa.array(places))
                lists = {field: taken.column(name).to_pylist() for field, name in columns.items()}
                lists["repo"] = [repos[place] for place in places]
                for values in zip(*lists.values(), strict=True):
                    yield dict(zip(lists, values, strict=True))


def _name(value: Any) -> str:
    return "" if value is None else str(value).strip()


@contextmanager
def _parquet(location: Location) -> Iterator[pq.ParquetFile]:
    try:
        with location.open() as stream, pq.ParquetFile(stream, pre_buffer=False) as file:
            yield file
    except pa.ArrowInvalid as error:
        raise UserError(
            f"table {location.path} is not a readable Parquet file ({error}).",
            "Replace it, or leave it out.",
        ) from None


def _json_rows(location: Location) -> Iterator[tuple[Row, int]]:
    """(row, bytes of its line); empty lines are passed over."""
    with location.open() as file:
        stream: Any = unpack(cast(BinaryIO, io.BufferedReader(file, 1 << 20)))
        # Arrow's decompressing stream has no lines of its own.
        lines = io.BufferedReader(stream, 1 << 20) if isinstance(stream, pa.NativeFile) else stream
        number = 0
        try:
            while line := lines.readline(MAX_LINE_BYTES):
                number += 1
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ValueError("not an object")
                    yield row, len(line)
        except (ValueError, RecursionError, EOFError, OSError) as error:
            raise UserError(
                f"table {location.path} cannot be read at line {number} ({error}).",
                "Each line must be a JSON object; replace the file, or leave it out.",
            ) from None
