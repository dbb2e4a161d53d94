"""What a source offers: repositories that are cheap to name and pickle, and opened on a worker."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from treespan.platform.errors import UserError


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

    def __init__(self, rule: str, detail: str, value: float, threshold: float) -> None:
        super().__init__(f"{detail}: {value:g}, allowed {threshold:g}")
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
    """A function that reads a regular file; it does not follow a link put there meanwhile."""

    def read() -> bytes:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read()

    return read


class NotHereError(UserError):
    """A source that the driver has listed and this node has not got."""


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
