"""Prefixes of an object store as repositories, as folders are.

An object store has no links and no folders; a name may be anything there, so those that are no path
are told in the ledger as a member of an archive would be.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as pafs

from treespan.jobs.ingest.config import DirectorySource
from treespan.jobs.ingest.detect_licence import licence_of_entries, normalise_given
from treespan.jobs.ingest.directory import IGNORED_FOLDERS
from treespan.jobs.ingest.location import connect
from treespan.jobs.ingest.member import entry_path, is_ignored
from treespan.jobs.ingest.repository import Entry, Snapshot, unread
from treespan.platform.errors import UserError
from treespan.platform.retry import retrying


@dataclass(frozen=True)
class RemoteDirectory:
    """A prefix that is one repository."""

    name: str
    root: str
    """The URI that the recipe gave."""
    path: str
    """The prefix within the file system of ``root``."""
    digest: str
    licence: str = ""
    commit: str = ""
    source: str = "directory"

    @property
    def origin(self) -> str:
        return self.path

    def state(self) -> str:
        """Hash of the sorted (relative path, size, modification time) of all files, when listed."""
        return self.digest

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        fs, _ = connect(self.root)
        files = _files(fs, self.path)
        if not files:
            raise FileNotFoundError(f"{self.path} had files when it was listed, and has none")
        entries = [_entry(fs, relative, info) for relative, info in files]
        licence = self.licence or licence_of_entries(entries)
        yield Snapshot(entries, licence, licence_is_final=bool(self.licence))


def list_remote_directory(source: DirectorySource) -> list[RemoteDirectory]:
    """The repositories of ``source``, whose path is a URI.

    Raises ``UserError`` if it cannot be read, is missing, is a file or has no file in it.
    """
    licence = normalise_given(source.licence)
    try:
        fs, base = retrying(lambda: connect(source.path), source.path)
        kind = retrying(lambda: fs.get_file_info(base), source.path).type
        found = [] if kind == pafs.FileType.File else _files(fs, base)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"source {source.path} cannot be read ({error}).",
            "Correct 'path', or grant read access.",
        ) from None
    if kind == pafs.FileType.File:
        raise UserError(
            f"source {source.path} is not a folder.", "Give the folder that holds the files."
        )
    groups: dict[str, list[tuple[str, pafs.FileInfo]]] = defaultdict(list)
    for relative, info in found:
        folder, slash, rest = relative.partition("/")
        if not source.each_subfolder:
            groups[""].append((relative, info))
        elif slash and folder and folder not in IGNORED_FOLDERS:
            groups[folder].append((rest, info))
    if not groups:
        raise UserError(
            f"source {source.path} is empty: there is no file in it.",
            "Correct 'path' in the recipe's sources.",
        )
    own_name = source.repo or base.rpartition("/")[2]
    return [
        RemoteDirectory(
            folder or own_name,
            source.path,
            f"{base}/{folder}" if folder else base,
            _digest(groups[folder]),
            licence,
        )
        for folder in sorted(groups)
    ]


def _files(fs: pafs.FileSystem, base: str) -> list[tuple[str, pafs.FileInfo]]:
    """(path below ``base``, what is known of it) of every file that is not ignored."""
    selector = pafs.FileSelector(base, recursive=True, allow_not_found=True)
    found = retrying(lambda: fs.get_file_info(selector), base)
    below = [(info.path[len(base) + 1 :], info) for info in found if info.is_file]
    return [(relative, info) for relative, info in below if not is_ignored(relative)]


def _digest(files: Sequence[tuple[str, pafs.FileInfo]]) -> str:
    lines = sorted(f"{path}\0{info.size}\0{info.mtime_ns or 0}\n" for path, info in files)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _entry(fs: pafs.FileSystem, relative: str, info: pafs.FileInfo) -> Entry:
    path, rule = entry_path(relative.encode("utf-8", "surrogateescape"))
    if rule or path != relative:
        return unread(relative, rule or "archive-path", size=info.size)
    return Entry(path, _reader(fs, info.path, info.size), info.size)


def _reader(fs: pafs.FileSystem, path: str, size: int) -> Callable[[], bytes]:
    def read() -> bytes:
        with fs.open_input_file(path) as file:
            data = bytes(file.read(size + 1))
        if len(data) > size:
            raise OSError(f"longer than the {size} bytes that it had when it was listed")
        return data

    return read
