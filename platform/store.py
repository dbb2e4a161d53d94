"""The store: a folder behind ``pyarrow.fs``, local or remote, where every artifact lives.

Files appear whole or not at all. On a local disk they are written beside their place and renamed;
for an object store they are spooled, and uploaded at once when they are complete. Readers of a step
look at its manifest, which is written last, so a half-written step is never seen.

Errors that pass by themselves (``platform.retry``) are tried again, call by call. The spool is what
makes that possible for a stream of batches: an upload that fails begins anew from there. A local
disk needs none: what can be retried there is opening and renaming, and a failure in between is left
to whoever makes the batches (``platform.partitions``).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.fs as pafs

from treespan.platform.errors import UserError
from treespan.platform.hashing_sink import HashingSink
from treespan.platform.retry import retrying, retrying_once
from treespan.platform.steady_file import SteadyFile
from treespan.platform.uri import without_secrets

TEMPORARY_PREFIX = ".partial-"
"""Names that start so are unfinished writes of a process that died; listings skip them."""

SPOOL_BYTES = 8 << 20
"""A file for an object store is held in memory up to this size, beyond it in a temporary file."""


@dataclass(frozen=True)
class FileEntry:
    """A published file: its path relative to the step, size in bytes, hash, and rows if a table."""

    path: str
    bytes: int
    sha256: str
    rows: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return asdict(self)


class Store:
    """Reads and writes files under one URI. Cheap to pickle: workers reconnect by themselves."""

    def __init__(self, uri: str) -> None:
        without_secrets(uri)
        self.uri = uri if "://" in uri else str(Path(uri).expanduser().absolute())

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.uri,)

    @cached_property
    def _connection(self) -> tuple[pafs.FileSystem, str]:
        try:
            fs, root = retrying(lambda: pafs.FileSystem.from_uri(self.uri), self.uri)
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(
                f"store {self.uri!r} cannot be opened ({error}).",
                "Give a local folder or a URI such as s3://bucket/prefix.",
            ) from None
        return fs, root.rstrip("/")

    @property
    def fs(self) -> pafs.FileSystem:
        """The file system that holds the store."""
        return self._connection[0]

    @property
    def is_local(self) -> bool:
        """Whether files can be memory-mapped."""
        return isinstance(self.fs, pafs.LocalFileSystem)

    def path(self, relative: str = "") -> str:
        """``relative`` as a path of ``fs``."""
        root = self._connection[1]
        return f"{root}/{relative}" if relative else root

    def child(self, relative: str) -> str:
        """The URI of what lies at ``relative``; options after a ``?`` stay at the end."""
        base, mark, options = self.uri.partition("?") if "://" in self.uri else (self.uri, "", "")
        return f"{base.rstrip('/')}/{relative}{mark}{options}"

    def check_writable(self) -> None:
        """Raise ``UserError`` now rather than after an hour of work."""
        probe = f"{TEMPORARY_PREFIX}probe-{uuid.uuid4().hex}"
        try:
            self.write_bytes(probe, b"")
            self.delete_file(probe)
        except (OSError, pa.ArrowInvalid) as error:
            raise UserError(
                f"store {self.uri} cannot be written ({error}).",
                "Choose another --store, or grant write access.",
            ) from None

    def exists(self, relative: str) -> bool:
        """Whether a file or folder is there."""
        path = self.path(relative)
        info: pafs.FileInfo = retrying(lambda: self.fs.get_file_info(path), path)
        return bool(info.type != pafs.FileType.NotFound)

    def list_files(self, relative: str) -> list[str]:
        """Paths of all files below ``relative``, sorted; unfinished writes left out."""
        return sorted(path for path in self._files(relative) if not _is_unfinished(path))

    def list_folders(self, relative: str) -> list[str]:
        """Paths of the folders right below ``relative``, sorted; their files are not listed."""
        selector = pafs.FileSelector(self.path(relative), allow_not_found=True)
        infos = retrying(lambda: self.fs.get_file_info(selector), self.path(relative))
        found = (info for info in infos if info.type == pafs.FileType.Directory)
        return sorted(f"{relative}/{info.base_name}" for info in found)

    def delete_unfinished(self, relative: str) -> None:
        """Remove what writers that died have left below ``relative``; no other may be at work."""
        for path in filter(_is_unfinished, self._files(relative)):
            self.delete_file(path)

    def _files(self, relative: str) -> list[str]:
        selector = pafs.FileSelector(self.path(relative), recursive=True, allow_not_found=True)
        prefix = len(self.path()) + 1
        infos = retrying(lambda: self.fs.get_file_info(selector), self.path(relative))
        return [info.path[prefix:] for info in infos if info.type == pafs.FileType.File]

    def delete_file(self, relative: str) -> None:
        """Remove one file."""
        path = self.path(relative)
        retrying_once(lambda: self.fs.delete_file(path), lambda: True, path)

    def delete_folder(self, relative: str) -> None:
        """Remove a folder and all in it; nothing happens where there is none."""
        path = self.path(relative)
        if self.exists(relative):
            # GCS has no object for the folder itself, and Arrow says so once all in it is gone.
            with suppress(FileNotFoundError):
                retrying(lambda: self.fs.delete_dir(path), path)

    @contextmanager
    def local_folder(
        self, relative: str, wanted: Callable[[str], bool] = lambda _: True
    ) -> Iterator[Path]:
        """The folder as a local path: itself where the store is local, or else a passing copy.

        The copy has the files whose path in the folder is ``wanted``.
        """
        if self.is_local:
            yield Path(self.path(relative))
            return
        with tempfile.TemporaryDirectory(prefix="treespan-") as copy:
            for name in self.list_files(relative):
                inside = name.removeprefix(f"{relative}/") if relative else name
                if wanted(inside):
                    target = Path(copy) / inside
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        self.copy_out(name, file)
            yield Path(copy)

    # -- bytes and JSON ------------------------------------------------------------------------

    def read_bytes(self, relative: str) -> bytes:
        """The whole file."""
        path = self.path(relative)

        def read() -> bytes:
            with self.fs.open_input_stream(path, compression=None) as stream:
                return bytes(stream.read())

        return retrying(read, path)

    def write_bytes(self, relative: str, data: bytes) -> FileEntry:
        """Publish ``data`` atomically."""
        with self._publish(relative) as stream:
            stream.write(data)
        return FileEntry(relative, len(data), hashlib.sha256(data).hexdigest())

    def copy_in(self, relative: str, file: Path) -> FileEntry:
        """Publish a local file, piece by piece."""
        with file.open("rb") as source, self._publish(relative) as stream:
            hashing = HashingSink(stream)
            shutil.copyfileobj(source, hashing, SPOOL_BYTES)
        return FileEntry(relative, hashing.bytes, hashing.digest.hexdigest())

    def sha256(self, relative: str) -> str:
        """The hash of a file, read piece by piece."""
        path = self.path(relative)

        def read() -> str:
            hashing = HashingSink(None)
            with self.fs.open_input_stream(path, compression=None) as source:
                shutil.copyfileobj(source, hashing, SPOOL_BYTES)
            return hashing.digest.hexdigest()

        return retrying(read, path)

    def copy_out(self, relative: str, target: IO[bytes]) -> None:
        """Write what a file holds to the beginning of ``target``, piece by piece."""
        path = self.path(relative)

        def copy() -> None:
            target.seek(0)
            with self.fs.open_input_stream(path, compression=None) as source:
                shutil.copyfileobj(source, target, SPOOL_BYTES)

        retrying(copy, path)

    def read_json(self, relative: str) -> Any:
        """A JSON document."""
        return json.loads(self.read_bytes(relative))

    def write_json(self, relative: str, value: Any) -> FileEntry:
        """Publish ``value`` as JSON, keys in the order given: it often means something."""
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
        return self.write_bytes(relative, text.encode() + b"\n")

    # -- Arrow tables --------------------------------------------------------------------------

    def write_table(
        self, relative: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> FileEntry:
        """Publish ``batches`` as one Arrow IPC file, streamed: memory holds one batch at a time."""
        rows = 0
        with self._publish(relative) as stream:
            hashing = HashingSink(stream)
            sink = pa.PythonFile(hashing, mode="w")
            with pa.ipc.new_file(sink, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
        return FileEntry(relative, hashing.bytes, hashing.digest.hexdigest(), rows)

    @contextmanager
    def open_table(
        self, relative: str, columns: list[str] | None = None
    ) -> Iterator[pa.ipc.RecordBatchFileReader]:
        """A reader of an Arrow IPC file, or of some of its columns; local files are memory-mapped."""
        with self.open_file(relative) as source:
            with pa.ipc.open_file(source) as reader:
                if columns is None:
                    yield reader
                    return
                chosen = [reader.schema.get_field_index(name) for name in columns]
            options = pa.ipc.IpcReadOptions(included_fields=chosen)
            with pa.ipc.open_file(source, options=options) as reader:
                yield reader

    def read_table(self, relative: str, columns: list[str] | None = None) -> pa.Table:
        """The table of an Arrow IPC file, or some of its columns (others are not read)."""
        source = self.open_file(relative)
        schema = pa.ipc.open_file(source).schema
        chosen = None if columns is None else [schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=chosen)
        table = pa.ipc.open_file(source, options=options).read_all()
        return table if columns is None else table.select(columns)

    def open_file(self, relative: str) -> pa.NativeFile:
        """A file for reads at any place; local ones are memory-mapped."""
        path = self.path(relative)
        if self.is_local:
            return retrying(lambda: pa.memory_map(path), path)
        return pa.PythonFile(SteadyFile(lambda: self.fs.open_input_file(path), path), mode="r")

    @contextmanager
    def _publish(self, relative: str) -> Iterator[IO[bytes]]:
        path = self.path(relative)
        if not self.is_local:
            with tempfile.SpooledTemporaryFile(SPOOL_BYTES, prefix="treespan-") as spool:
                yield cast(IO[bytes], spool)
                try:
                    retrying(lambda: self._upload(spool, path), path)
                except BaseException:
                    # Closing a stream publishes what it got, and there is no way to abort one.
                    with suppress(OSError):
                        self.fs.delete_file(path)
                    raise
            return
        folder, _, name = path.rpartition("/")
        partial = f"{folder}/{TEMPORARY_PREFIX}{name}-{uuid.uuid4().hex[:8]}"
        retrying(lambda: self.fs.create_dir(folder, recursive=True), path)
        try:
            with retrying(
                lambda: self.fs.open_output_stream(partial, compression=None), path
            ) as stream:
                yield stream
            retrying_once(lambda: self.fs.move(partial, path), lambda: self.exists(relative), path)
        except BaseException as error:
            if Path(partial).exists():
                Path(partial).unlink()
            if isinstance(error, OSError) and error.errno and error.filename is None:
                # Arrow does not say which file it was.
                raise OSError(error.errno, os.strerror(error.errno), path) from error
            raise

    def _upload(self, spool: Any, path: str) -> None:
        spool.seek(0)
        with self.fs.open_output_stream(path, compression=None) as stream:
            shutil.copyfileobj(spool, stream, SPOOL_BYTES)


def _is_unfinished(path: str) -> bool:
    return path.rpartition("/")[2].startswith(TEMPORARY_PREFIX)
