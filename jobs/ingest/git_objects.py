"""Sizes of git objects from their headers, so that what is too large is never inflated.

Libraries read an object whole to tell how long it is. Its length stands in front of it: in plain in
a pack, in the first inflated bytes of a loose object, and for a delta in the delta's first bytes
(gitformat-pack). Packed objects that are wanted are then read by dulwich, which inflates no more than
the pack says; loose ones here, for it inflates all there is.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, RawObjectID, hex_to_sha, sha_to_hex
from dulwich.pack import Pack

MAX_BASE_BYTES = 64 << 20
"""A file whose delta needs a larger object is not read (ours): git itself bases no delta on an
object of more than 32 times its size, so for files below 2 MB only a made-up pack has one."""

_OFS_DELTA, _REF_DELTA = 6, 7
_HEADER_BYTES = 640
"""Room for a pack entry's header, its base and the start of its zlib stream, whose largest code
tables take below 400 bytes."""


@dataclass(frozen=True)
class Extent:
    """What reading an object takes, in bytes."""

    size: int
    """Of the object."""
    largest: int
    """Of the largest object or delta that must be inflated on the way to it."""
    loose: str = ""
    """Path of its file, if it has one of its own."""


def read_loose(extent: Extent) -> bytes:
    """The content of a loose object; ``OSError`` if it is not as long as its header says."""
    limit = _HEADER_BYTES + extent.size
    stream = zlib.decompressobj()
    found = bytearray()
    with open(extent.loose, "rb") as file:
        while not stream.eof and len(found) < limit and (piece := file.read(1 << 16)):
            found += stream.decompress(piece, limit - len(found))
    content = bytes(found[found.find(b"\0") + 1 :])
    if not stream.eof or len(content) != extent.size:
        raise OSError(f"an object that is not of {extent.size} bytes, as its header says")
    return content


class ObjectSizes:
    """Looks up objects of a store and of those that it borrows from."""

    def __init__(self, store: DiskObjectStore) -> None:
        self._stores = list(_with_alternates(store))
        self._packs = [_PackSizes(pack, self) for each in self._stores for pack in each.packs]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pack in self._packs:
            pack.close()

    def extent(self, sha: ObjectID) -> Extent:
        """The extent of an object.

        Raises ``KeyError`` if it is missing, ``ValueError`` or ``zlib.error`` if it is damaged.
        """
        raw = hex_to_sha(sha)
        for pack in self._packs:
            offset = pack.find(raw)
            if offset is not None:
                return pack.extent(offset)
        name = sha.decode("ascii")
        for store in self._stores:
            try:
                return _loose(os.path.join(os.fsdecode(store.path), name[:2], name[2:]))
            except FileNotFoundError:
                continue
        raise KeyError(name)


class _PackSizes:
    def __init__(self, pack: Pack, all_sizes: ObjectSizes) -> None:
        self._pack = pack
        self._all = all_sizes
        self._file: int | None = None
        self._known: dict[int, Extent] = {}

    def find(self, raw: RawObjectID) -> int | None:
        try:
            return self._pack.index.object_offset(raw)
        except KeyError:
            return None

    def extent(self, offset: int) -> Extent:
        """Follows the chain of deltas to its base, or to where the chain is known."""
        chain: list[tuple[int, int, int]] = []
        largest = 0
        met: set[int] = set()
        while offset not in self._known:
            if offset in met:
                raise ValueError("deltas in a circle")
            met.add(offset)
            size, inflated, base = self._header(offset)
            chain.append((offset, size, inflated))
            if base is None:
                break
            if isinstance(base, int):
                offset = base
            elif (inside := self.find(base)) is not None:
                offset = inside
            else:
                largest = self._all.extent(sha_to_hex(base)).largest
                break
        else:
            if not chain:
                return self._known[offset]
            largest = self._known[offset].largest
        for place, size, inflated in reversed(chain):
            largest = max(largest, size, inflated)
            self._known[place] = Extent(size, largest)
        return self._known[chain[0][0]]

    def _header(self, offset: int) -> tuple[int, int, int | RawObjectID | None]:
        """(size of the object, of what is packed: it or its delta, where its base is: an offset, a
        name, or nowhere)."""
        if self._file is None:
            self._file = os.open(self._pack.data.path, os.O_RDONLY)
        data = os.pread(self._file, _HEADER_BYTES, offset)
        if not data:
            raise ValueError("the pack is cut off")
        kind = data[0] >> 4 & 7
        size, place = data[0] & 15, 1
        shift = 4
        while data[place - 1] & 0x80:
            size |= (data[place] & 0x7F) << shift
            shift, place = shift + 7, place + 1
        if kind == _OFS_DELTA:
            back, place = data[place] & 0x7F, place + 1
            while data[place - 1] & 0x80:
                back, place = (back + 1 << 7) | (data[place] & 0x7F), place + 1
            if not 0 < back <= offset:
                raise ValueError("a delta without a base")
            return _result_size(data[place:]), size, offset - back
        if kind == _REF_DELTA:
            length = self._pack.object_format.oid_length
            base = RawObjectID(data[place : place + length])
            return _result_size(data[place + length :]), size, base
        return size, size, None

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _result_size(delta: bytes) -> int:
    """What a delta makes: the second of the two numbers that it starts with."""
    head = zlib.decompressobj().decompress(delta, 40)
    numbers, value, shift = [], 0, 0
    for byte in head:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            numbers.append(value)
            value = shift = 0
    if len(numbers) < 2:
        raise ValueError("a delta without a size")
    return numbers[1]


def _loose(path: str) -> Extent:
    with open(path, "rb") as file:
        head = zlib.decompressobj().decompress(file.read(_HEADER_BYTES), 64)
    kind_and_size, mark, _ = head.partition(b"\0")
    size = kind_and_size.rpartition(b" ")[2]
    if not mark or not size.isdigit():
        raise ValueError("a loose object without a header")
    return Extent(int(size), int(size), path)


def _with_alternates(store: DiskObjectStore) -> Iterator[DiskObjectStore]:
    pending, seen = [store], set()
    while pending:
        each = pending.pop(0)
        if each.path not in seen:
            seen.add(each.path)
            yield each
            pending += [other for other in each.alternates if isinstance(other, DiskObjectStore)]
