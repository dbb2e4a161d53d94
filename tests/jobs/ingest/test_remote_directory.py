"""Prefixes that change or fail between listing and reading; the local file system stands in."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import pytest

from treespan.jobs.ingest import remote_directory
from treespan.jobs.ingest.config import DirectorySource, IngestConfig
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.remote_directory import RemoteDirectory, list_remote_directory
from treespan.platform import retry
from treespan.platform.ledger import Decision


@pytest.fixture
def source(tmp_path: Path) -> DirectorySource:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.py").write_text("x = 1\n")
    return DirectorySource(kind="directory", path=str(tmp_path / "project"))


def told(repository: RemoteDirectory, source: DirectorySource) -> list[str]:
    decisions: list[Decision] = []
    assert list(read_repository(repository, IngestConfig(sources=(source,)), decisions)) == []
    return [str(decision["rule"]) for decision in decisions]


def test_a_prefix_that_vanished_is_an_error(source: DirectorySource) -> None:
    (repository,) = list_remote_directory(source)
    shutil.rmtree(source.path)
    assert told(repository, source) == ["repository-error"]


def test_a_file_that_has_grown_is_not_read_on(source: DirectorySource) -> None:
    (repository,) = list_remote_directory(source)
    with repository.open() as snapshot:
        (entry,) = snapshot.entries
        (Path(source.path) / "a.py").write_text("x = 1\n" * 1000)
        with pytest.raises(OSError, match="longer than the 6 bytes"):
            entry.read()


class Busy:
    """A file system whose server first asks for fewer requests, whatever is asked."""

    def __init__(self) -> None:
        self.asked: set[type] = set()

    def get_file_info(self, what: str | pafs.FileSelector) -> Any:
        if type(what) not in self.asked:
            self.asked.add(type(what))
            raise OSError("AWS Error SLOW_DOWN: please reduce your request rate")
        return pafs.LocalFileSystem().get_file_info(what)


def test_listing_is_tried_again(source: DirectorySource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.0)
    (quiet,) = list_remote_directory(source)
    busy = Busy()
    monkeypatch.setattr(remote_directory, "connect", lambda root: (busy, root))
    assert list_remote_directory(source) == [quiet]
    assert len(busy.asked) == 2
