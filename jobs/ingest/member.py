"""Members of an archive: where they lie, whether that is inside of it, and how to take them.

Nothing is ever extracted to disk, so a path that leads outside can do no harm here; it is still
refused, because it is the file's name in every table and may be written somewhere later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from treespan.jobs.ingest.directory import IGNORED_FOLDERS
from treespan.jobs.ingest.repository import Entry, printable, unread

_OUTSIDE = re.compile(rb"[/\\]|[A-Za-z]:|(.*[/\\])?\.\.([/\\]|$)|.*\0", re.DOTALL)
"""Absolute, of a Windows drive, with a step up, or with a NUL, behind which systems differ."""


@dataclass(frozen=True)
class Limits:
    """What an archive may cost; see ``ArchiveSource`` for the first three."""

    max_unpacked_bytes: int
    max_members: int
    max_ratio: float
    keep_bytes: int
    """Larger files are only listed: ingest would not read them."""


def entry_path(raw: bytes) -> tuple[str, str]:
    """(path within the repository, rule that keeps it from being read or empty) for a raw name."""
    shown, valid = printable(raw)
    parts = [part for part in shown.split("/") if part not in ("", ".")]
    if not parts or _OUTSIDE.match(raw):
        return shown.replace("\0", "\\0"), "archive-path"
    return "/".join(parts), "" if valid else "path-encoding"


def is_ignored(path: str) -> bool:
    """Whether the path leads through a folder that no source tells about (``.git``)."""
    return not IGNORED_FOLDERS.isdisjoint(path.split("/")[:-1])


def settle(entries: Iterable[Entry], archive: str) -> list[Entry]:
    """``entries`` with the archive's own top folder taken off and each path given once.

    Of members of one name the last is taken, as unpacking would leave it; the others are told.
    """
    found = list(entries)
    if top := top_folder([entry.path for entry in found if entry.skip != "archive-path"], archive):
        found = [
            entry
            if entry.skip == "archive-path"
            else replace(entry, path=entry.path.removeprefix(top))
            for entry in found
        ]
    last = {entry.path: place for place, entry in enumerate(found)}
    return [
        entry
        if entry.skip == "archive-path" or last[entry.path] == place
        else unread(entry.path, "archive-duplicate", "a later member has the name", entry.size)
        for place, entry in enumerate(found)
    ]


def top_folder(paths: list[str], archive: str) -> str:
    """The folder that holds all of an archive and is only its wrapping, with a slash, or empty.

    That is npm's ``package/``, and a folder named as the archive is (``rich-13.7.1/`` in
    ``rich-13.7.1.tar.gz``): any other may mean something.
    """
    top, slash, _ = min(paths, default="").partition("/")
    if not slash or not all(path.startswith(f"{top}/") for path in paths):
        return ""
    packed = top == "package" and "package/package.json" in paths
    return f"{top}/" if packed or _same_name(top, archive) else ""


def _same_name(top: str, archive: str) -> bool:
    folder, name = (re.sub(r"[-_.]+", "-", text).lower() for text in (top, archive))
    return folder == name


def held(data: bytes) -> Callable[[], bytes]:
    """A function that gives ``data`` back; meanwhile it is kept compressed."""
    if len(data) < 256:
        return lambda: data
    packed = pa.compress(data, codec="zstd", asbytes=True)
    size = len(data)

    def read() -> bytes:
        return bytes(pa.decompress(packed, decompressed_size=size, codec="zstd", asbytes=True))

    return read
