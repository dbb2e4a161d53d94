"""What a source offers: repositories that are cheap to name and pickle, and opened on a worker."""

from __future__ import annotations

import errno
import os
import platform
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from treespan.platform.errors import UserError
from treespan.platform.retry import UnavailableError, retrying


@dataclass(frozen=True)
class Entry:
    """One file of a repository, not yet read."""

    path: str
    """Relative to the repository, with forward slashes; always valid UTF-8."""
    read: Callable[[], bytes]
    """Reads the whole file; ``OSError`` (or the object store's error) if that is impossible."""
    size: int | None = None
    """Bytes; None where only reading tells."""
    skip: str = ""
    """The ledger rule that keeps the file from being read (``symlink``), or empty."""
    detail: str = ""
    """More on ``skip``."""
    licence: str = ""
    """SPDX expression that the source states for this file (a table's column), or empty."""
    encoding: str = ""
    """Encoding that the source states for this file (a table's column), or empty."""


@dataclass(frozen=True)
class Snapshot:
    """An opened repository."""

    entries: Sequence[Entry]
    licence: str = ""
    """SPDX expression found for the repository; empty when unknown."""
    licence_is_final: bool = False
    """The licence was given by the user: what single files say does not count."""
    commits: int = -1
    authors: int = -1
    stars: int = -1
    commit: str = ""
    """What ``Repository.commit`` says, where only opening tells."""


class RefusedError(Exception):
    """A repository that is not read, by a rule of its own rather than because it is broken."""

    def __init__(
        self, rule: str, detail: str, value: float | None = None, threshold: float | None = None
    ) -> None:
        measured = "" if value is None else f": {value:g}, allowed {threshold:g}"
        super().__init__(detail + measured)
        self.rule = rule
        self.detail = detail
        self.value = value
        self.threshold = threshold


class Repository(Protocol):
    """A handle on a repository. It must pickle small: the driver holds one per repository."""

    @property
    def name(self) -> str:
        """The repository's name in every table."""

    @property
    def commit(self) -> str:
        """Git commit, distribution version, or empty."""

    @property
    def source(self) -> str:
        """Kind of the source that listed it."""

    @property
    def origin(self) -> str:
        """Where it is, for messages."""

    def state(self) -> Any:
        """What changes when the content does, as JSON types; cheap."""

    def open(self) -> AbstractContextManager[Snapshot]:
        """The repository's files; anything may be raised by a broken repository."""


def printable(raw: bytes) -> tuple[str, bool]:
    """A path's bytes as text, and whether they were UTF-8; other bytes are shown as ``\\xff``."""
    try:
        return raw.decode("utf-8"), True
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace"), False


def unread(path: str, skip: str, detail: str = "", size: int | None = None) -> Entry:
    """An entry that is listed only to be told in the ledger."""

    def read() -> bytes:
        raise OSError(f"{path} is not to be read ({skip})")

    return Entry(path=path, read=read, size=size, skip=skip, detail=detail)


def reader(path: str) -> Callable[[], bytes]:
    """A function that reads a regular file; not what was put there meanwhile.

    It follows no link, waits for no fifo, and reads no further than the file was long when it was
    opened.
    """

    def read() -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file any more", path)
            return stream.read(status.st_size)

    return read


class NotHereError(UserError):
    """A source that the driver has listed and this node has not got."""


NOT_ITS_FAULT = (NotHereError, UnavailableError, MemoryError)
"""Errors that say nothing about a repository: a row in the ledger would hide what is missing."""


def text_of(entry: Entry) -> str:
    """A file that ingest looks into beforehand, such as a licence; what is not UTF-8 is replaced.

    Empty if it cannot be read: its own row in the ledger will tell.
    """
    try:
        return retrying(entry.read, entry.path).decode("utf-8", "replace")
    except NOT_ITS_FAULT:
        raise
    except Exception:  # noqa: BLE001 - a damaged file or git object has errors of many shapes
        return ""


def check_here(origin: str, path: str) -> None:
    """Raise ``NotHereError`` unless the folder that the driver has listed is on this node too.

    Without this the files of a source that only the driver's node holds would be missing from the
    corpus, and which of them would depend on where a task ran.
    """
    if not os.path.isdir(path):
        raise NotHereError(
            f"{origin} is not on the node {platform.node()}.",
            "Put sources where every node finds them under the same path.",
        )
