"""Tar archives, read once from front to back: what ingest may want is held, compressed again.

A compressed tar has no other order than its own, while a repository's files are read in the order
of their paths. What is too large or binary by its name is never held.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from treespan.jobs.ingest.bounded_stream import Counted, check_members, unpack
from treespan.jobs.ingest.decode import is_binary_name
from treespan.jobs.ingest.member import Limits, entry_path, held, is_ignored
from treespan.jobs.ingest.repository import Entry, unread

MAX_HEADER_BYTES = 1 << 20
"""Long names and attributes are read into memory whole; no honest ones come near (ours)."""

_HEADERS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_DEVICES = {
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
    tarfile.FIFOTYPE: "fifo",
}


class BrokenArchiveError(Exception):
    """What is read is no archive, or not all of one."""


class Member(tarfile.TarInfo):
    """A member whose broken header is an error: ``tarfile`` takes one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Member:
        """The header in ``buf``."""
        try:
            header = super().frombuf(buf, encoding, errors)
        except (tarfile.TruncatedHeaderError, tarfile.InvalidHeaderError) as error:  # type: ignore[attr-defined]
            raise BrokenArchiveError(f"not a tar archive, or a damaged one ({error})") from None
        if header.size < 0 or (header.type in _HEADERS and header.size > MAX_HEADER_BYTES):
            raise BrokenArchiveError(f"a header of {header.size} bytes")
        return header


def read_tar(stream: BinaryIO, packed_bytes: int, limits: Limits) -> Iterator[Entry]:
    """The entries of a tar archive, compressed or not, in its own order; folders are left out."""
    counted: Any = Counted(unpack(stream), packed_bytes, limits)
    with tarfile.open(
        fileobj=counted, mode="r|", tarinfo=Member, encoding="utf-8", errors="surrogateescape"
    ) as archive:
        members = 0
        for member in archive:
            members += 1
            check_members(members, limits)
            # tarfile remembers every member, for random access that is not wanted here.
            archive.members = []  # type: ignore[attr-defined]
            if not member.isdir():
                raw = member.name.encode("utf-8", "surrogateescape")
                path, rule = entry_path(raw)
                if not is_ignored(path):
                    yield _entry(archive, member, path, rule, limits)
    if not members and not counted.bytes:
        raise BrokenArchiveError("an empty file")
    counted.drain()


def _entry(
    archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, rule: str, limits: Limits
) -> Entry:
    size = member.size
    if rule:
        return unread(path, rule, size=size)
    if member.issym():
        return unread(path, "symlink", member.linkname.encode("utf-8", "replace").decode())
    if member.islnk():
        return unread(path, "hard-link", member.linkname.encode("utf-8", "replace").decode())
    if member.type in _DEVICES:
        return unread(path, "device-file", _DEVICES[member.type])
    if member.issparse():
        return unread(path, "unreadable", "a sparse file", size)
    if not member.isreg():
        return unread(path, "unreadable", "not a regular file", size)
    if size > limits.keep_bytes or is_binary_name(path):
        return Entry(path, unread(path, "not held").read, size)
    content = archive.extractfile(member)
    assert content is not None
    data = content.read()
    if len(data) != size:
        raise BrokenArchiveError(f"{path} is cut off")
    return Entry(path, held(data), size)
