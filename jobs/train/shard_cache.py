"""Copies of remote shards on a node's disk, shared by all processes of the node.

A copy is named by the SHA-256 that the packing step's manifest gives, so runs share what they have
in common. It is checked against that hash when a process first opens it, and fetched again where it
is damaged. It is written under another name and renamed, so it is there whole or not at all.

Rows come in random order, so each shard of an epoch is as likely to be wanted next as any other.
To drop one for another of the same epoch would mean fetching a whole shard for about every row. So
room is made by dropping what other epochs and runs have left, the least recently opened first; when
that does not suffice, the shard is read from the store, row by row.

Locks are those of ``filelock``: one for each copy, and one for the accounts of the folder. Whoever
holds the latter never waits for one of the former.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout

from treespan.platform.errors import UserError
from treespan.platform.store import FileEntry, Store

CACHE_BYTES = 256 << 30
"""Of all copies of a node (ours): 50 billion tokens. The disk is often smaller; what happens then is
the same."""

_COPY, _PARTIAL = ".arrow", ".partial"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_LOG = logging.getLogger(__name__)


class ShardCache:
    """Opens shards of ``store`` by way of the copies in ``folder``.

    ``entries`` are what the manifest says of them, by their store paths. At most ``max_bytes`` are
    used. Raises ``UserError`` if ``folder`` cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        entries: Mapping[str, FileEntry],
        max_bytes: int = CACHE_BYTES,
    ) -> None:
        self._folder = folder
        self._store = store
        self._entries = entries
        self._max_bytes = max_bytes
        self._checked: set[str] = set()
        self._has_warned = False
        try:
            (folder / "locks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the folder for copies of shards, {folder}, cannot be made ({error}).",
                "Let TREESPAN_CACHE name a folder of a local disk that can be written.",
            ) from None

    def open(self, path: str, keep: Collection[str] = ()) -> pa.MemoryMappedFile | None:
        """The copy of the shard at ``path``, mapped; None if there is no room for it.

        Copies of the shards ``keep`` are not dropped for it. Raises ``UserError`` if the store has
        other bytes than the manifest says.
        """
        entry = self._entries.get(path)
        if entry is None:
            return None
        copy = self._folder / f"{entry.sha256}{_COPY}"
        with self._lock(entry.sha256):
            if not self._is_whole(copy, entry) and not self._fetch(path, entry, copy, keep):
                return None
            self._checked.add(entry.sha256)
            os.utime(copy)
            return pa.memory_map(str(copy))

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._folder / "locks" / f"{name}.lock")

    def _is_whole(self, copy: Path, entry: FileEntry) -> bool:
        try:
            if copy.stat().st_size != entry.bytes:
                return False
        except FileNotFoundError:
            return False
        return entry.sha256 in self._checked or _sha256(copy) == entry.sha256

    def _fetch(self, path: str, entry: FileEntry, copy: Path, keep: Collection[str]) -> bool:
        partial = copy.with_suffix(_PARTIAL)
        copy.unlink(missing_ok=True)
        kept = {self._entries[name].sha256 for name in keep if name in self._entries}
        while self._reserve(entry.bytes, partial, kept):
            try:
                with partial.open("r+b") as target:
                    self._store.copy_out(path, target)
                if partial.stat().st_size != entry.bytes or _sha256(partial) != entry.sha256:
                    raise UserError(
                        f"{self._store.child(path)} is damaged: its hash is not its manifest's.",
                        "Delete the folder of its step and run again.",
                    )
                partial.replace(copy)
                return True
            except OSError as error:
                if error.errno not in _FULL:
                    raise
            finally:
                partial.unlink(missing_ok=True)
            # What fits is what is there now; less of it may leave room.
            self._max_bytes = sum(size for _, size, _ in self._files())
        self._warn(entry.bytes)
        return False

    def _reserve(self, size: int, partial: Path, kept: Collection[str]) -> bool:
        """Make ``partial`` a file of ``size`` bytes, which counts from now on, if there is room."""
        with self._lock("accounts"):
            partial.unlink(missing_ok=True)
            files = sorted(self._files())
            used = sum(found for _, found, _ in files)
            for _, found, file in files:
                if used + size <= self._max_bytes:
                    break
                if file.stem not in kept and self._drop(file):
                    used -= found
            if used + size > self._max_bytes:
                return False
            with partial.open("wb") as target:
                target.truncate(size)
            return True

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """When each copy was last opened, its size, and itself; unfinished ones included."""
        for file in self._folder.iterdir():
            if file.suffix in (_COPY, _PARTIAL):
                try:
                    status = file.stat()
                except FileNotFoundError:  # renamed or dropped right now
                    continue
                yield status.st_mtime, status.st_size, file

    def _drop(self, file: Path) -> bool:
        """Remove ``file`` unless a process is about to open or write it."""
        try:
            with self._lock(file.stem).acquire(blocking=False):
                # Who has mapped it keeps it until it is done.
                file.unlink(missing_ok=True)
        except Timeout:
            return False
        return True

    def _warn(self, size: int) -> None:
        if not self._has_warned:
            self._has_warned = True
            _LOG.warning(
                "No room for a shard of %.1f MB in %s, which may have %.1f MB: it is read from the "
                "store row by row, which is slow. Let TREESPAN_CACHE name a folder of a larger disk.",
                size / 1e6,
                self._folder,
                self._max_bytes / 1e6,
            )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
