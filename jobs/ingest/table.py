"""Tables with a file per row (The Stack and its like), whose rows are grouped into repositories.

The driver reads only the repository column. It orders the repositories of each partition by name,
as they will be read, and cuts them into *windows* of bounded size; a worker that opens the first
repository of a window loads all of it in one pass over the row groups that have rows of it. So a
table that is sorted by repository is read about once, and any other once per window.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from treespan.jobs.ingest.bounded_stream import unpack
from treespan.jobs.ingest.config import TableSource
from treespan.jobs.ingest.detect_licence import NO_ASSERTION, joined, normalise, normalise_given
from treespan.jobs.ingest.location import Location, connect, find_files
from treespan.jobs.ingest.member import entry_path, held
from treespan.jobs.ingest.repository import Entry, Snapshot, unread
from treespan.jobs.ingest.table_layout import columns_of
from treespan.jobs.ingest.table_scan import (
    JSON_SUFFIXES,
    PARQUET_SUFFIXES,
    Row,
    column_names,
    count_repositories,
    read_rows,
    text,
)
from treespan.platform.draws import partition_of
from treespan.platform.retry import is_passing

NO_REPOSITORY = "(no repository)"
"""Stands for the repository of rows that name none; none of them is read."""


@dataclass(frozen=True)
class Contents:
    """Where contents are that the table does not have."""

    pattern: str
    gzipped: bool

    def reader(self, blob_id: str, limit: int) -> Callable[[], bytes]:
        """A function that fetches a file, or as much as shows that it is too large."""

        def read() -> bytes:
            if not blob_id.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"{blob_id!r} is not an id")
            bare, mark, query = self.pattern.partition("?")
            folder, _, rest = bare.partition("{blob_id}")
            fs, base = connect(f"{folder.rstrip('/')}{mark}{query}")
            slash = "/" if folder.endswith("/") else ""
            with fs.open_input_file(f"{base}{slash}{blob_id}{rest}") as file:
                data = unpack(file).read(limit + 1) if self.gzipped else file.read(limit + 1)
            return bytes(data)

        return read


@dataclass(frozen=True)
class Table:
    """What all repositories of a source share."""

    files: tuple[Location, ...]
    columns: tuple[Mapping[str, str], ...]
    """Of each file: column by field of ``ColumnNames``."""
    keep_bytes: int
    contents: Contents | None
    licence: str
    path: str
    digest: str
    """Of the files' states."""


@dataclass(frozen=True)
class Window:
    """Repositories that are loaded together, and which groups of which files have rows of them."""

    table: Table
    repositories: frozenset[str]
    groups: tuple[tuple[int, tuple[int, ...]], ...]
    last: str
    """The repository that is read last, in the order of names."""

    def __hash__(self) -> int:
        return hash((self.table.digest, self.groups))


@dataclass(frozen=True)
class TableRepository:
    """The rows of a table with one name in the repository column."""

    name: str
    window: Window
    commit: str = ""
    source: str = "table"

    @property
    def origin(self) -> str:
        return self.window.table.path

    def state(self) -> str:
        """Of all files of the table: which rows have changed, only reading would tell."""
        return self.window.table.digest

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        table = self.window.table
        loaded = load(self.window)
        try:
            if isinstance(loaded, Exception):
                raise loaded
            rows = loaded[self.name]
            yield Snapshot(
                rows.entries,
                table.licence,
                licence_is_final=bool(table.licence),
                stars=rows.stars,
                commit=rows.commit,
            )
        finally:
            if self.name == self.window.last:
                load.cache_clear()


class Texts:
    """Texts in memory, compressed; equal ones once, since a table may repeat one a million times."""

    def __init__(self) -> None:
        self._held: dict[bytes, Callable[[], bytes]] = {}

    def held(self, data: bytes) -> Callable[[], bytes]:
        """A function that gives ``data`` back."""
        key = hashlib.blake2b(data, digest_size=16).digest()
        if key not in self._held:
            self._held[key] = held(data)
        return self._held[key]


@dataclass
class Rows:
    """A repository's rows in memory: contents compressed, or still in the store."""

    entries: list[Entry] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    stars: int = -1
    commit: str = ""

    def add(self, row: Row, table: Table, named: bool, texts: Texts) -> None:
        """Take a row in; of rows with one path the first counts."""
        entry = entry_of(row, table, texts) if named else unread(text(row["path"]), "no-repository")
        if entry.path in self.paths and not entry.skip:
            entry = unread(entry.path, "table-duplicate", "an earlier row has the path", entry.size)
        self.paths.add(entry.path)
        self.entries.append(entry)
        self.stars = max(self.stars, whole_number(row.get("stars"), -1))
        self.commit = self.commit or text(row.get("commit"))


def list_table(source: TableSource, partitions: int, keep_bytes: int) -> list[TableRepository]:
    """The repositories of ``source``. Raises ``UserError`` for a missing file, column or licence."""
    files, _ = find_files(source.path, "table", PARQUET_SUFFIXES + JSON_SUFFIXES)
    columns = [columns_of(source, column_names(file), f"table {file.path}") for file in files]
    contents = None
    if source.content_store is not None:
        contents = Contents(absolute(source.content_store), source.content_compression == "gzip")
    states = json.dumps([file.state() for file in files])
    table = Table(
        tuple(files),
        tuple(columns),
        keep_bytes,
        contents,
        normalise_given(source.licence),
        source.path,
        hashlib.sha256(states.encode()).hexdigest(),
    )
    windows = cut_windows(table, partitions, source.window_bytes)
    return [TableRepository(name, window) for window in windows for name in window.repositories]


def cut_windows(table: Table, partitions: int, window_bytes: int) -> Iterator[Window]:
    """All repositories of ``table``, in windows of ``window_bytes`` or of one large repository."""
    sizes: Counter[str] = Counter()
    groups: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for place, (file, columns) in enumerate(zip(table.files, table.columns, strict=True)):
        for group, name, size in count_repositories(file, columns["repo"]):
            sizes[name or NO_REPOSITORY] += size
            groups[name or NO_REPOSITORY].add((place, group))
    ordered = sorted(sizes, key=lambda name: (partition_of(name, partitions), name))
    chosen: list[str] = []
    bytes_chosen = 0
    for name, following in zip_longest(ordered, ordered[1:]):
        chosen.append(name)
        bytes_chosen += sizes[name]
        if (
            following is None
            or partition_of(following, partitions) != partition_of(name, partitions)
            or bytes_chosen + sizes[following] > window_bytes
        ):
            of_chosen = _by_file(groups[other] for other in chosen)
            yield Window(table, frozenset(chosen), of_chosen, last=name)
            chosen, bytes_chosen = [], 0


@lru_cache(maxsize=1)
def load(window: Window) -> dict[str, Rows] | Exception:
    """The rows of the window's repositories, or what went wrong: it would again for each of them."""
    table = window.table
    found = {name: Rows() for name in window.repositories}
    texts = Texts()
    try:
        for place, groups in window.groups:
            rows = read_rows(
                table.files[place],
                groups,
                table.columns[place],
                lambda name: (name or NO_REPOSITORY) in found,
            )
            for row in rows:
                found[row["repo"] or NO_REPOSITORY].add(row, table, bool(row["repo"]), texts)
    except Exception as error:
        if is_passing(error):
            raise  # and so not remembered
        return error  # each repository tells it in the ledger
    return found


def entry_of(row: Row, table: Table, texts: Texts) -> Entry:
    """The entry for a row."""
    # The Stack v2 writes paths from the repository's root, with a slash.
    path, rule = entry_path(str(row["path"] or "").lstrip("/").encode("utf-8", "backslashreplace"))
    licence = stated_licence(row.get("licence"))
    if rule:
        return unread(path, rule)
    if table.contents is not None:
        encoding = str(row.get("encoding") or "")
        size = whole_number(row.get("bytes"), -1)
        read = table.contents.reader(str(row["blob_id"] or ""), table.keep_bytes)
        known = size if size > table.keep_bytes else None
        return Entry(path, read, known, licence=licence, encoding=encoding)
    content = row["content"]
    if isinstance(content, str):
        # A lone surrogate, which JSON can write and UTF-8 cannot, makes the file undecodable.
        content = content.encode("utf-8", "surrogatepass")
    if not isinstance(content, bytes):
        return unread(path, "unreadable", f"content is {type(content).__name__}, not text")
    kept = content if len(content) <= table.keep_bytes else b""
    return Entry(path, texts.held(kept), len(content), licence=licence)


def stated_licence(value: Any) -> str:
    """A licence column's value as an SPDX expression; empty if it says nothing."""
    names = value if isinstance(value, list) else [value]
    stated = [str(name) for name in names if name is not None and str(name).strip()]
    read = [normalise(name) for name in stated]
    return joined(read) if all(read) else NO_ASSERTION


def whole_number(value: Any, missing: int) -> int:
    """A count that fits 64 bits, also from floats, as Pandas writes them where some are missing, or
    from text.
    """
    try:
        number = int(float(value)) if isinstance(value, str) else int(value)
        return max(-(2**63), min(number, 2**63 - 1))
    except (TypeError, ValueError, OverflowError):
        return missing


def absolute(path: str) -> str:
    """A URI as it is, a local path from the root."""
    return path if "://" in path else str(Path(path).expanduser().absolute())


def _by_file(groups: Iterable[set[tuple[int, int]]]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    merged: dict[int, set[int]] = defaultdict(set)
    for place, group in set().union(*groups):
        merged[place].add(group)
    return tuple((place, tuple(sorted(merged[place]))) for place in sorted(merged))
