"""Files behind ``pyarrow.fs``, local or in an object store: found, measured and opened.

A location keeps the URI it was found under, so that it pickles small and a worker connects by
itself, with the options that stand in the URI (``s3://bucket/key?region=...``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from treespan.platform.errors import UserError
from treespan.platform.retry import retrying


@dataclass(frozen=True)
class Location:
    """One file, as it was when it was found."""

    root: str
    """The URI or absolute path that the recipe gave."""
    path: str
    """The file's path within the file system of ``root``."""
    bytes: int
    modified_ns: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    def state(self) -> list[str | int]:
        """What changes when the file does."""
        return [self.path, self.bytes, self.modified_ns]

    def open(self) -> pa.NativeFile:
        """A seekable stream of the file's bytes."""
        return connect(self.root)[0].open_input_file(self.path)


def find_files(path: str, kind: str, suffixes: Sequence[str]) -> tuple[list[Location], bool]:
    """The files that ``path`` names, sorted by path, and whether it is one file by itself.

    A folder stands for the files below it, at any depth, whose names end with one of ``suffixes``;
    a path with ``*`` in its last part for those in its folder that match. Raises ``UserError`` if
    there is none.
    """
    bare, mark, query = path.partition("?") if "://" in path else (path, "", "")
    folder, slash, last = bare.rpartition("/")
    pattern = last if "*" in last else ""
    base = (folder + slash or ".") if pattern else bare
    root = base + mark + query if "://" in path else str(Path(base).expanduser().absolute())
    try:
        fs, start = connect(root)
        info = retrying(lambda: fs.get_file_info(start), path)
        if info.type == pafs.FileType.NotFound:
            raise UserError(
                f"source {path} does not exist ({kind}).", "Correct 'path' in the recipe's sources."
            )
        if info.type != pafs.FileType.Directory:
            return [_location(root, info)], True
        selector = pafs.FileSelector(start, recursive=not pattern)
        found = retrying(lambda: fs.get_file_info(selector), path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"source {path} cannot be read ({error}).", "Correct 'path', or grant read access."
        ) from None
    chosen = [
        _location(root, info)
        for info in sorted(found, key=lambda info: info.path)
        if info.type == pafs.FileType.File
        and (
            fnmatchcase(info.base_name, pattern)
            if pattern
            else info.base_name.lower().endswith(tuple(suffixes))
        )
    ]
    if not chosen:
        names = pattern or ", ".join(f"*{suffix}" for suffix in suffixes)
        raise UserError(
            f"source {path} is empty: there is no file {names} in it ({kind}).",
            "Correct 'path' in the recipe's sources.",
        )
    return chosen, False


@lru_cache(maxsize=64)
def connect(root: str) -> tuple[pafs.FileSystem, str]:
    """The file system of a URI or an absolute path, and the path within it."""
    if "://" not in root:
        return pafs.LocalFileSystem(), root
    fs, path = pafs.FileSystem.from_uri(root)
    return fs, path.rstrip("/")


def _location(root: str, info: pafs.FileInfo) -> Location:
    return Location(root, info.path, int(info.size), int(info.mtime_ns or 0))
