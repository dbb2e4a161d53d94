"""Debian packages: an ar archive with the files in ``data.tar``, of any compression."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from treespan.jobs.ingest.archive_tar import BrokenArchiveError, read_tar
from treespan.jobs.ingest.bounded_stream import Part
from treespan.jobs.ingest.member import Limits
from treespan.jobs.ingest.repository import Entry

MAGIC = b"!<arch>\n"
_HEADER_BYTES = 60
_MAX_AR_MEMBERS = 64
"""A package has three, or a few more with signatures (ours)."""


def read_deb(stream: BinaryIO, packed_bytes: int, limits: Limits) -> Iterator[Entry]:
    """The entries that a Debian package would install."""
    place = len(MAGIC)
    for _ in range(_MAX_AR_MEMBERS):
        stream.seek(place)
        header = stream.read(_HEADER_BYTES)
        if len(header) != _HEADER_BYTES or not header.endswith(b"`\n"):
            break
        size_field = header[48:58].strip()
        if not size_field.isdigit():
            break
        size = int(size_field)
        if header[:16].strip().rstrip(b"/").startswith(b"data.tar"):
            if place + _HEADER_BYTES + size > packed_bytes:
                raise BrokenArchiveError("data.tar is cut off")
            data = io.BufferedReader(Part(stream, place + _HEADER_BYTES, size), 1 << 16)
            yield from read_tar(data, size, limits)
            return
        place += _HEADER_BYTES + size + size % 2
    raise BrokenArchiveError("no data.tar in the Debian package")
