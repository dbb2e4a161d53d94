"""What is written, passed on and hashed."""

from __future__ import annotations

import hashlib
from typing import Any


class HashingSink:
    """A write-only file that hashes what passes through it, to ``stream`` or, if None, nowhere."""

    def __init__(self, stream: Any | None) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        view = memoryview(data)
        if self._stream is not None:
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
