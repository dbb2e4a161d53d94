"""Zip archives (wheels are some), read member by member from their directory at the end."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from treespan.jobs.ingest.bounded_stream import check_members, check_unpacked
from treespan.jobs.ingest.member import Limits, entry_path, is_ignored
from treespan.jobs.ingest.repository import Entry, RefusedError, unread

DIRECTORY_BYTES_PER_MEMBER = 512
"""Room for a long name (ours): the directory is read whole before its members can be counted."""

PIECE_BYTES = 64 << 10

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""What source archives use. zipfile's bzip2 and LZMA cannot be made to unpack piece by piece."""

_ENCRYPTED = 0x1
_UTF8 = 0x800


def read_zip(stream: BinaryIO, packed_bytes: int, limits: Limits) -> Iterator[Entry]:
    """The entries of a zip archive; they read from ``stream``, which must stay open.

    The sizes in the directory are what is checked, and no more than they say is ever unpacked.
    """
    guard = _DirectoryGuard(stream, limits.max_members * DIRECTORY_BYTES_PER_MEMBER)
    archive = zipfile.ZipFile(guard)
    guard.limit = None
    members = archive.infolist()
    check_members(len(members), limits)
    check_unpacked(sum(member.file_size for member in members), packed_bytes, limits)
    for member in members:
        if not member.is_dir():
            path, rule = entry_path(_raw_name(member))
            if not is_ignored(path):
                yield _entry(archive, member, path, rule)


def _entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, rule: str) -> Entry:
    size = member.file_size
    kind = stat.S_IFMT(member.external_attr >> 16)
    if rule:
        return unread(path, rule, size=size)
    if kind == stat.S_IFLNK:
        return unread(path, "symlink", size=size)
    if kind in (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK):
        return unread(path, "device-file", size=size)
    if member.flag_bits & _ENCRYPTED:
        return unread(path, "archive-encrypted", size=size)
    if member.compress_type not in _METHODS:
        return unread(path, "unreadable", f"zip method {member.compress_type}", size)
    return Entry(path, _reader(archive, member), size)


def _reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        pieces = []
        # Asked for all at once, zipfile unpacks all there is and only then looks at the size.
        with archive.open(member) as stream:
            while piece := stream.read(PIECE_BYTES):
                pieces.append(piece)
        data = b"".join(pieces)
        if len(data) != member.file_size:
            raise zipfile.BadZipFile("the member is shorter than the directory says")
        return data

    return read


def _raw_name(member: zipfile.ZipInfo) -> bytes:
    """The name's bytes: without a flag zipfile takes them for cp437, and many tools mean UTF-8."""
    encoding = "utf-8" if member.flag_bits & _UTF8 else "cp437"
    return member.orig_filename.encode(encoding)


class _DirectoryGuard:
    """A file that refuses to give more than ``limit`` bytes at once."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream = stream
        self.limit: int | None = limit
        self.seek = stream.seek
        self.tell = stream.tell
        self.close = stream.close
        self.seekable = stream.seekable

    def read(self, size: int = -1) -> bytes:
        if self.limit is not None and size > self.limit:
            raise RefusedError("archive-bomb", "bytes of the zip directory", size, self.limit)
        return self._stream.read(size)
