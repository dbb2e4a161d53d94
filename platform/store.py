"""The store: a folder behind ``pyarrow.fs``, local or remote, where every artifact lives.

Files appear whole or not at all. On a local disk they are written beside their place and renamed;
object stores publish an upload only when it is completed, and one that fails is removed. Readers of a step look at its manifest,
which is written last, so a half-written step is never seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from treespan.platform.errors import UserError
from treespan.platform.uri import without_secrets

TEMPORARY_PREFIX = ".partial-"
"""Names that start so are unfinished writes of a process that died; listings skip them."""


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
            fs, root = pafs.FileSystem.from_uri(self.uri)
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
        info: pafs.FileInfo = self.fs.get_file_info(self.path(relative))
        return bool(info.type != pafs.FileType.NotFound)

    def list_files(self, relative: str) -> list[str]:
        """Paths of all files below ``relative``, sorted; unfinished writes left out."""
        return sorted(path for path in self._files(relative) if not _is_unfinished(path))

    def delete_unfinished(self, relative: str) -> None:
        """Remove what writers that died have left below ``relative``; no other may be at work."""
        for path in filter(_is_unfinished, self._files(relative)):
            self.delete_file(path)

    def _files(self, relative: str) -> list[str]:
        selector = pafs.FileSelector(self.path(relative), recursive=True, allow_not_found=True)
        prefix = len(self.path()) + 1
        infos = self.fs.get_file_info(selector)
        return [info.path[prefix:] for info in infos if info.type == pafs.FileType.File]

    def delete_file(self, relative: str) -> None:
        """Remove one file."""
        self.fs.delete_file(self.path(relative))

    def delete_folder(self, relative: str) -> None:
        """Remove a folder and all in it; nothing happens where there is none."""
        if self.exists(relative):
            # GCS has no object for the folder itself, and Arrow says so once all in it is gone.
            with suppress(FileNotFoundError):
                self.fs.delete_dir(self.path(relative))

    @contextmanager
    def local_folder(self, relative: str) -> Iterator[Path]:
        """The folder as a local path: itself where the store is local, or else a passing copy."""
        if self.is_local:
            yield Path(self.path(relative))
            return
        with tempfile.TemporaryDirectory(prefix="treespan-") as copy:
            for name in self.list_files(relative):
                target = Path(copy) / (name.removeprefix(f"{relative}/") if relative else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read_bytes(name))
            yield Path(copy)

    # -- bytes and JSON ------------------------------------------------------------------------

    def read_bytes(self, relative: str) -> bytes:
        """The whole file."""
        with self.fs.open_input_stream(self.path(relative), compression=None) as stream:
            return bytes(stream.read())

    def write_bytes(self, relative: str, data: bytes) -> FileEntry:
        """Publish ``data`` atomically."""
        with self._publish(relative) as stream:
            stream.write(data)
        return FileEntry(relative, len(data), hashlib.sha256(data).hexdigest())

    def copy_in(self, relative: str, file: Path) -> None:
        """Publish a local file, piece by piece."""
        with file.open("rb") as source, self._publish(relative) as stream:
            shutil.copyfileobj(source, stream, 1 << 20)

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
            hashing = _HashingSink(stream)
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
        path = self.path(relative)
        source = pa.memory_map(path) if self.is_local else self.fs.open_input_file(path)
        with source:
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
        path = self.path(relative)
        source = pa.memory_map(path) if self.is_local else self.fs.open_input_file(path)
        schema = pa.ipc.open_file(source).schema
        chosen = None if columns is None else [schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=chosen)
        table = pa.ipc.open_file(source, options=options).read_all()
        return table if columns is None else table.select(columns)

    @contextmanager
    def _publish(self, relative: str) -> Iterator[pa.NativeFile]:
        path = self.path(relative)
        if not self.is_local:
            try:
                with self.fs.open_output_stream(path, compression=None) as stream:
                    yield stream
            except BaseException:
                # Arrow cannot abort an upload: closing the stream has published what there was.
                with suppress(OSError):
                    self.fs.delete_file(path)
                raise
            return
        folder, _, name = path.rpartition("/")
        partial = f"{folder}/{TEMPORARY_PREFIX}{name}-{uuid.uuid4().hex[:8]}"
        self.fs.create_dir(folder, recursive=True)
        try:
            with self.fs.open_output_stream(partial, compression=None) as stream:
                yield stream
            self.fs.move(partial, path)
        except BaseException as error:
            if Path(partial).exists():
                Path(partial).unlink()
            if isinstance(error, OSError) and error.errno and error.filename is None:
                # Arrow does not say which file it was.
                raise OSError(error.errno, os.strerror(error.errno), path) from error
            raise


def _is_unfinished(path: str) -> bool:
    return path.rpartition("/")[2].startswith(TEMPORARY_PREFIX)


class _HashingSink:
    """A write-only file that hashes what passes through it."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._stream.write(view)
        self.digest.update(view)
        self.bytes += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self.bytes

    def flush(self) -> None:
        """Nothing is buffered here."""

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
