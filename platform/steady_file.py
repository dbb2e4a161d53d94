"""A remote file that is opened again where reading it fails, and goes on where it was."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from treespan.platform.retry import retrying


class SteadyFile(io.RawIOBase):
    """A readable, seekable file over ``open_file``; ``key`` is its name in messages and draws.

    Raises what ``retrying`` raises.
    """

    def __init__(self, open_file: Callable[[], pa.NativeFile], key: str) -> None:
        self._open_file = open_file
        self._key = key
        self._place = 0
        self._file: Any = None
        self._size = int(self._try(lambda file: file.size()))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Takes effect with the next read."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, or all that are left; fewer only at the end."""
        left = max(self._size - self._place, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        place = self._place
        data = bytes(self._try(lambda file: file.read_at(wanted, place))) if wanted else b""
        self._place += len(data)
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _try(self, action: Callable[[Any], Any]) -> Any:
        def attempt() -> Any:
            if self._file is None:
                self._file = self._open_file()
            try:
                return action(self._file)
            except OSError:
                self._file = None
                raise

        return retrying(attempt, self._key)
