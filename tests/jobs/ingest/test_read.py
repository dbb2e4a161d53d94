"""What goes wrong while a repository is read, and whose fault it is."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.repository import Entry, Snapshot
from treespan.platform import retry
from treespan.platform.ledger import Decision
from treespan.platform.retry import UnavailableError

CONFIG = IngestConfig.model_validate({"sources": [{"kind": "directory", "path": "unused"}]})
EIO = OSError(errno.EIO, "Input/output error")
RESET = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


@dataclass
class Failing:
    """A repository of one file; opening and reading fail with the errors given, one by one."""

    opening: list[Exception] = field(default_factory=list)
    reading: list[Exception] = field(default_factory=list)
    name: str = "project"
    commit: str = ""
    source: str = "directory"
    origin: str = "somewhere"

    def state(self) -> Any:
        return None

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        if self.opening:
            raise self.opening.pop(0)
        yield Snapshot([Entry("a.py", self.read, 6)])

    def read(self) -> bytes:
        if self.reading:
            raise self.reading.pop(0)
        return b"x = 1\n"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.0)


def read(repository: Failing) -> tuple[list[str], list[Decision]]:
    decisions: list[Decision] = []
    rows = read_repository(repository, CONFIG, decisions)
    return [row["path"] for row in rows], decisions


@pytest.mark.parametrize("error", [EIO, RESET, OSError("AWS Error SLOW_DOWN during GetObject")])
def test_a_source_that_hiccups_leaves_no_trace(error: Exception) -> None:
    assert read(Failing(opening=[error] * 2, reading=[error] * 3)) == (["a.py"], [])


def test_a_damaged_disk_is_told_and_the_job_goes_on() -> None:
    _, decisions = read(Failing(reading=[EIO] * 99))
    assert [(row["rule"], row["path"]) for row in decisions] == [("unreadable", "a.py")]
    _, decisions = read(Failing(opening=[EIO] * 99))
    assert [(row["rule"], row["path"]) for row in decisions] == [("repository-error", "")]


def test_what_is_not_the_repositorys_fault_is_raised() -> None:
    """A row in the ledger would hide files that another try can read."""
    for broken in (Failing(opening=[RESET] * 99), Failing(reading=[RESET] * 99)):
        with pytest.raises(UnavailableError, match="cannot be reached"):
            read(broken)
    for broken in (Failing(opening=[MemoryError()]), Failing(reading=[MemoryError()])):
        with pytest.raises(MemoryError):
            read(broken)
