"""Folders as repositories."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from treespan.jobs.ingest.config import DirectorySource
from treespan.jobs.ingest.detect_licence import licence_of_entries, normalise_given
from treespan.jobs.ingest.repository import (
    Entry,
    Snapshot,
    check_here,
    printable,
    reader,
    unread,
)
from treespan.platform.errors import UserError

IGNORED_FOLDERS = frozenset({".git", ".hg", ".svn", ".bzr", "__pycache__"})
"""Books of version control and compiled caches: not part of the source, and so not told about."""

_DEVICES = {
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class Directory:
    """A folder that is one repository."""

    name: str
    path: str
    licence: str = ""
    commit: str = ""
    source: str = "directory"

    @property
    def origin(self) -> str:
        return self.path

    def state(self) -> str:
        """Hash of the sorted (relative path, size, modification time) of all files."""
        digest = hashlib.sha256()
        for path, full in sorted(walk_paths(self.path)):
            try:
                status = os.lstat(full)
                digest.update(os.fsencode(path))
                digest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
            except OSError as error:
                digest.update(os.fsencode(path) + f"\0{error.errno}\n".encode())
        return digest.hexdigest()

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        check_here(self.origin, self.path)
        entries = list_entries(self.path)
        licence = self.licence or licence_of_entries(entries)
        yield Snapshot(entries, licence, licence_is_final=bool(self.licence))


def list_directory(source: DirectorySource) -> list[Directory]:
    """The repositories of ``source``. Raises ``UserError`` if it is missing or has no file."""
    root = existing_folder(source.path, "directory")
    licence = normalise_given(source.licence)
    if source.each_subfolder:
        found = [
            Directory(printable(os.fsencode(child.name))[0], str(child), licence)
            for child in subfolders(root)
            if child.name not in IGNORED_FOLDERS
        ]
    else:
        found = [Directory(source.repo or root.name, str(root), licence)]
    if not any(True for repository in found for _ in walk_paths(repository.path)):
        raise UserError(
            f"source {source.path} is empty: there is no file in it.",
            "Correct 'path' in the recipe's sources.",
        )
    return found


def is_uri(path: str) -> bool:
    """Whether ``path`` names an object store; ``file://`` is as good as a local path."""
    return "://" in path and not path.startswith("file://")


def existing_folder(path: str, kind: str) -> Path:
    """``path`` as an absolute folder that can be listed, or ``UserError``."""
    if is_uri(path):
        raise UserError(
            f"source {path} is not on a local disk ({kind}).",
            "Clone it to a folder that all nodes share (git clone --mirror), or put the files or "
            "an archive there and use kind: directory or kind: archive.",
        )
    root = Path(path.removeprefix("file://")).expanduser().absolute()
    if not root.exists():
        raise UserError(
            f"source {path} does not exist ({kind}).", "Correct 'path' in the recipe's sources."
        )
    if not root.is_dir():
        raise UserError(f"source {path} is not a folder.", "Give the folder that holds the files.")
    if not os.access(root, os.R_OK | os.X_OK):
        raise UserError(f"source {path} cannot be read.", "Grant read access to it.")
    return root.resolve()


def subfolders(root: Path) -> list[Path]:
    """Direct subfolders, sorted by name; links are not followed."""
    with os.scandir(root) as scan:
        names = [entry.name for entry in scan if entry.is_dir(follow_symlinks=False)]
    return [root / name for name in sorted(names)]


def walk_paths(root: str, ignored: frozenset[str] = IGNORED_FOLDERS) -> Iterator[tuple[str, str]]:
    """(relative path, full path) of everything below ``root`` that is not a folder.

    Links to folders count as files: they are listed, never followed. A folder that cannot be
    listed is given as if it were a file, so that reading it fails and is told.
    """
    pending = [("", root)]
    while pending:
        prefix, folder = pending.pop()
        try:
            with os.scandir(folder) as scan:
                children = list(scan)
        except OSError:
            yield prefix.rstrip("/"), folder
            continue
        for child in children:
            if child.is_dir(follow_symlinks=False):
                if child.name not in ignored:
                    pending.append((f"{prefix}{child.name}/", child.path))
            else:
                yield prefix + child.name, child.path


def list_entries(root: str, ignored: frozenset[str] = IGNORED_FOLDERS) -> Sequence[Entry]:
    """All files below ``root`` as entries, in no particular order."""
    return [entry_of(path, full) for path, full in walk_paths(root, ignored)]


def entry_of(path: str, full: str) -> Entry:
    """The entry for the file ``full``, named ``path`` within its repository."""
    shown, valid = printable(os.fsencode(path))
    try:
        status = os.lstat(full)
    except OSError as error:
        return unread(shown, "unreadable", error.strerror or str(error))
    if not valid:
        return unread(shown, "path-encoding", size=status.st_size)
    if stat.S_ISLNK(status.st_mode):
        return unread(shown, "symlink", size=status.st_size)
    if not stat.S_ISREG(status.st_mode):
        return unread(shown, "device-file", _DEVICES.get(stat.S_IFMT(status.st_mode), ""))
    return Entry(shown, reader(full), status.st_size)
