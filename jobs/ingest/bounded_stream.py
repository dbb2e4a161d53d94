"""Streams that hostile input cannot make endless: unpacking with a limit, and a part of a file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from typing import Any, BinaryIO, cast

import pyarrow as pa

from treespan.jobs.ingest.member import Limits
from treespan.jobs.ingest.repository import RefusedError

RATIO_FROM_BYTES = 16 << 20
"""Below this a high ratio harms nobody (ours): a tar of one short file is mostly padding."""

_GZIP, _BZIP2, _ZSTD = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
_XZ, _LZMA = b"\xfd7zXZ\0", b"\x5d\0\0"


def check_unpacked(unpacked: int, packed: int, limits: Limits) -> None:
    """Raise ``RefusedError`` if ``packed`` bytes that become ``unpacked`` bytes are a bomb."""
    if unpacked > limits.max_unpacked_bytes:
        detail = "unpacked bytes"
        raise RefusedError("archive-bomb", detail, unpacked, limits.max_unpacked_bytes)
    if unpacked >= RATIO_FROM_BYTES and unpacked > limits.max_ratio * packed:
        ratio = round(unpacked / max(packed, 1), 1)
        raise RefusedError("archive-bomb", "times its size", ratio, limits.max_ratio)


def check_members(members: int, limits: Limits) -> None:
    """Raise ``RefusedError`` if there are too many ``members``."""
    if members > limits.max_members:
        raise RefusedError("archive-bomb", "members", members, limits.max_members)


def unpack(packed: BinaryIO) -> BinaryIO:
    """``packed`` (at its start, seekable) decompressed, by its first bytes; itself if plain."""
    head = packed.read(6)
    packed.seek(0)
    stream: Any = packed
    if head.startswith(_GZIP):
        stream = gzip.GzipFile(fileobj=packed, mode="rb")
    elif head.startswith(_BZIP2):
        stream = bz2.BZ2File(packed)
    elif head.startswith((_XZ, _LZMA)):
        stream = lzma.open(packed)  # noqa: SIM115 - the caller reads it
    elif head.startswith(_ZSTD):
        # Python learns zstd in 3.14; Arrow knows it.
        stream = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")
    return cast(BinaryIO, stream)


class Counted:
    """A readable stream that raises ``RefusedError`` where it has given too much."""

    def __init__(self, stream: BinaryIO, packed_bytes: int, limits: Limits) -> None:
        self._stream = stream
        self._packed_bytes = packed_bytes
        self._limits = limits
        self.bytes = 0

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; fewer only at the end."""
        data = self._stream.read(size)
        self.bytes += len(data)
        check_unpacked(self.bytes, self._packed_bytes, self._limits)
        return data

    def drain(self) -> None:
        """Read to the end: checksums stand there."""
        while self.read(1 << 20):
            pass


class Part(io.RawIOBase):
    """``length`` bytes of a seekable stream from ``start`` on, as a stream of its own."""

    def __init__(self, stream: BinaryIO, start: int, length: int) -> None:
        self._stream = stream
        self._start = start
        self._length = length
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._length}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        size = max(0, min(len(buffer), self._length - self._place))
        self._stream.seek(self._start + self._place)
        data = self._stream.read(size)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)
