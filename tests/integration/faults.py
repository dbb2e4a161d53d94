"""Stores that go wrong, and a run on one of them as a process of its own.

    python faults.py RECIPE STORE DRIVER_DIES_AT

Faults lie below our code (a file system that fails) or beside it (a process that is killed while
it writes). Each is drawn by hash or happens once, so that a run can be repeated.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from treespan.jobs.pipeline import load_recipe, run_recipe
from treespan.platform.draws import hash64
from treespan.platform.progress import Progress
from treespan.platform.store import FileEntry, Store

ONE_IN = 20
_ATTEMPTS: Counter[str] = Counter()
_ERRORS: tuple[Callable[[], OSError], ...] = (
    lambda: OSError(errno.EIO, os.strerror(errno.EIO)),
    lambda: ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)),
    lambda: OSError("AWS Error SLOW_DOWN during PutObject operation: reduce your request rate."),
    lambda: OSError("AWS Error UNKNOWN (HTTP status 503) during UploadPart: no response body"),
)


class FlakyStore(Store):
    """A store whose file system fails one call in twenty, as an object store does."""

    def __init__(self, uri: str, log: str) -> None:
        super().__init__(uri)
        self.log = log
        self._flaky = pafs.PyFileSystem(Flaky(self.uri, self.log))

    def __reduce__(self) -> Any:
        return FlakyStore, (self.uri, self.log)

    @property
    def _connection(self) -> tuple[pafs.FileSystem, str]:  # type: ignore[override]
        return self._flaky, self.uri


class Flaky(pafs.FileSystemHandler):
    """A local folder behind calls that fail: which ones depends on path, call and attempt."""

    def __init__(self, root: str, log: str) -> None:
        self.root = root
        self.log = log
        self.local = pafs.LocalFileSystem()

    def may_fail(self, call: str, path: str) -> None:
        """Raise for one in twenty; the log gets the call's name."""
        key = f"{call} {path.removeprefix(self.root)}"
        _ATTEMPTS[key] += 1
        drawn = hash64("fault", key, _ATTEMPTS[key])
        if drawn % ONE_IN == 0:
            with open(self.log, "a") as log:
                log.write(f"{call}\n")
            raise _ERRORS[drawn // ONE_IN % len(_ERRORS)]()

    def get_type_name(self) -> str:
        return "flaky"

    def normalize_path(self, path: str) -> str:
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        self.may_fail("stat", paths[0])
        return list(self.local.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        self.may_fail("list", selector.base_dir)
        return list(self.local.get_file_info(selector))

    def create_dir(self, path: str, recursive: bool) -> None:
        self.local.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self.may_fail("delete", path)
        self.local.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        raise NotImplementedError

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError

    def delete_file(self, path: str) -> None:
        self.may_fail("delete", path)
        self.local.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def copy_file(self, src: str, dest: str) -> None:
        raise NotImplementedError

    def open_input_stream(self, path: str) -> pa.NativeFile:
        self.may_fail("open", path)
        return pa.PythonFile(FlakyFile(self, path, "rb"), mode="r")

    def open_input_file(self, path: str) -> pa.NativeFile:
        return self.open_input_stream(path)

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        self.may_fail("create", path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return pa.PythonFile(FlakyFile(self, path, "wb"), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        raise NotImplementedError


class FlakyFile:
    """An open file of ``Flaky``; of one that fails to be written half is left."""

    def __init__(self, fs: Flaky, path: str, mode: str) -> None:
        self.fs = fs
        self.path = path
        self.mode = mode
        self.file = open(path, mode)  # noqa: SIM115 - closed by close()
        self.seek = self.file.seek
        self.tell = self.file.tell

    @property
    def closed(self) -> bool:
        return self.file.closed

    def read(self, size: int = -1) -> bytes:
        self.fs.may_fail("read", self.path)
        return self.file.read(size)

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self.file.write(view[: len(view) // 2])
        self.fs.may_fail("write", self.path)
        self.file.write(view[len(view) // 2 :])
        return len(view)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        if self.file.closed:
            return
        self.file.close()
        if self.mode == "wb":
            self.fs.may_fail("close", self.path)


class DoomedStore(Store):
    """A store that is fatal to write: the first table whose path matches one of ``faults``."""

    def __init__(self, uri: str, faults: dict[str, str], fired: str, driver: int) -> None:
        super().__init__(uri)
        self.faults = faults
        """Pattern of a path -> ``kill`` (this process), ``memory`` or ``driver`` (kill that)."""
        self.fired = fired
        """A folder that remembers what has happened."""
        self.driver = driver

    def __reduce__(self) -> Any:
        return DoomedStore, (self.uri, self.faults, self.fired, self.driver)

    def write_table(
        self, relative: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
    ) -> FileEntry:
        for number, (pattern, fault) in enumerate(self.faults.items()):
            if re.search(pattern, relative):
                self.strike(number, fault)
        return super().write_table(relative, schema, batches)

    def strike(self, number: int, fault: str) -> None:
        try:
            (Path(self.fired) / str(number)).touch(exist_ok=False)
        except FileExistsError:
            return
        if fault == "memory":
            bytearray(1 << 62)
        os.kill(self.driver if fault == "driver" else os.getpid(), signal.SIGKILL)


def main(recipe: str, store: str, dies_at: str) -> None:
    """Run ``recipe`` up to decontamination; this process dies when that table is written."""
    fired = Path(tempfile.mkdtemp(dir=Path(store).parent))
    doomed = DoomedStore(store, {dies_at: "driver"}, str(fired), os.getpid())
    run_recipe(load_recipe(Path(recipe)), doomed, Progress(quiet=True), until="decontaminate")


if __name__ == "__main__":
    main(*sys.argv[1:])
