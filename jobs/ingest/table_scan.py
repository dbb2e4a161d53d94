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
from treespan.platform.retry import is_passing

PARQUET_SUFFIXES = (".parquet", ".pq")
JSON_SUFFIXES = tuple(
    f"{name}{packed}" for name in (".jsonl", ".ndjson") for packed in ("", ".gz", ".zst")
)
BATCH_ROWS = 256
FIRST_ROWS = 100
MAX_LINE_BYTES = 256 << 20
"""A longer line is no row of a table of source files (ours)."""
ROW_BYTES = 512
"""What a row takes in a worker beside its text, measured on short ones. It bounds a window where
texts are tiny, or equal and so stored once."""

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
            yield 0, _name(row.get(column)), size + ROW_BYTES
        return
    with _parquet(location) as file:
        for group in range(file.num_row_groups):
            info = file.metadata.row_group(group)
            mean = info.total_byte_size / max(info.num_rows, 1)
            counts = pc.value_counts(file.read_row_group(group, columns=[column]).column(0))
            for item in counts.to_pylist():
                yield group, _name(item["values"]), int((mean + ROW_BYTES) * item["counts"])


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
    # Kept as a dictionary where it is stored as one: half a megabyte of Parquet may hold a hundred
    # gigabytes of one long text, repeated.
    repeated = [columns["content"]] if "content" in columns else []
    with _parquet(location, repeated) as file:
        # One thread: the workers already use all processors.
        for batch in file.iter_batches(
            BATCH_ROWS, row_groups=groups, columns=list(columns.values()), use_threads=False
        ):
            repos = [_name(value) for value in batch.column(columns["repo"]).to_pylist()]
            places = [place for place, repo in enumerate(repos) if wanted(repo)]
            if places:
                taken = batch.take(pa.array(places))
                lists = {field: _values(taken.column(name)) for field, name in columns.items()}
                lists["repo"] = [repos[place] for place in places]
                for values in zip(*lists.values(), strict=True):
                    yield dict(zip(lists, values, strict=True))


def text(value: Any) -> str:
    """A cell as text; empty for none. Lone surrogates, which JSON can write, are spelt out."""
    said = "" if value is None else str(value)
    return said if said.isascii() else said.encode("utf-8", "backslashreplace").decode()


def _name(value: Any) -> str:
    return text(value).strip()


def _values(column: pa.Array) -> list[Any]:
    """The cells; of a dictionary, equal cells are one object."""
    if not pa.types.is_dictionary(column.type):
        return list(column.to_pylist())
    places = column.indices.to_pylist()
    entries = {
        place: column.dictionary[place].as_py() for place in set(places) if place is not None
    }
    return [entries.get(place) for place in places]


@contextmanager
def _parquet(location: Location, repeated: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    try:
        with (
            location.open() as stream,
            pq.ParquetFile(stream, pre_buffer=False, read_dictionary=list(repeated)) as file,
        ):
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
            if is_passing(error):
                raise
            raise UserError(
                f"table {location.path} cannot be read at line {number} ({error}).",
                "Each line must be a JSON object; replace the file, or leave it out.",
            ) from None
