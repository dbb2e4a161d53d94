import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.repository import reader
from treespan.jobs.ingest.step import fingerprint, list_repositories
from treespan.platform.errors import UserError


def source(path: Path, **more: Any) -> dict[str, Any]:
    return {"kind": "directory", "path": str(path), **more}


def config(*sources: dict[str, Any]) -> IngestConfig:
    return IngestConfig.model_validate({"sources": sources})


def test_every_file_is_a_row_or_a_decision(folder: Path, ingest: Callable[..., Any]) -> None:
    rows, decisions = ingest(source(folder), max_file_bytes=4000)
    assert {row["path"]: row["licence"] for row in rows} == {
        "LICENSE": "MIT",
        "src/a.py": "MIT",
        "src/b.py": "GPL-2.0-only",
        "tests/test_a.py": "MIT",
    }
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert all(row["repo"] == "project" and row["test_files"] == 1 for row in rows)
    assert {row["path"]: row["rule"] for row in decisions} == {
        "big.txt": "oversize",
        "image.png": "binary",
        "latin.py": "encoding",
        "zero.dat": "binary",
        "link.py": "symlink",
    }
    oversize = next(row for row in decisions if row["rule"] == "oversize")
    assert (oversize["value"], oversize["threshold"]) == (5000, 4000)


def test_names_that_are_not_utf8_are_told(folder: Path, ingest: Callable[..., Any]) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.py")).write_text("x = 1\n")
    _, decisions = ingest(source(folder))
    told = [row["path"] for row in decisions if row["rule"] == "path-encoding"]
    assert told == ["caf\\xe9.py"]


def test_a_given_licence_beats_what_files_say(folder: Path, ingest: Callable[..., Any]) -> None:
    rows, _ = ingest(source(folder, licence="apache 2.0", repo="ours"))
    assert {(row["repo"], row["licence"]) for row in rows} == {("ours", "Apache-2.0")}


def test_a_cap_keeps_a_sample(tmp_path: Path, ingest: Callable[..., Any]) -> None:
    for name in range(100):
        (tmp_path / f"{name:03}.py").write_text("x" * 100)
    rows, decisions = ingest(source(tmp_path), max_repo_bytes=2050)
    assert len(rows) == 20
    assert {row["rule"] for row in decisions} == {"repo-cap"}
    assert max(row["path"] for row in rows) > "050.py"


def test_each_subfolder_is_a_repository(tmp_path: Path, ingest: Callable[..., Any]) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text("x = 1\n")
    (tmp_path / "loose.py").write_text("")
    rows, _ = ingest(source(tmp_path, each_subfolder=True))
    assert [row["repo"] for row in rows] == ["a", "b"]
    assert len({row["file_id"] for row in rows}) == 2


def test_the_fingerprint_follows_the_content(folder: Path) -> None:
    before = fingerprint(config(source(folder)))
    assert fingerprint(config(source(folder))) == before
    (folder / "src" / "a.py").write_text("x = 10\n")
    assert fingerprint(config(source(folder))) != before


def test_wrong_sources_say_what_and_how(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=r"does not exist.*Correct 'path'"):
        list_repositories(config(source(tmp_path / "none")))
    with pytest.raises(UserError, match="is not a folder"):
        list_repositories(config(source(folder / "LICENSE")))
    with pytest.raises(UserError, match="is empty"):
        list_repositories(config(source(empty)))
    with pytest.raises(UserError, match=r"two sources give a repository 'project'.*'repo:'"):
        list_repositories(config(source(folder), source(folder)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_told(folder: Path, ingest: Callable[..., Any]) -> None:
    (folder / "src" / "a.py").chmod(0)
    _, decisions = ingest(source(folder))
    assert "unreadable" in {row["rule"] for row in decisions}


def test_a_source_that_a_node_lacks_is_no_empty_repository(folder: Path, tmp_path: Path) -> None:
    """Listed on one machine, read on another: the files would be missing without a word."""
    (repository,) = list_repositories(config(source(folder)))
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is not on the node"):
        list(read_repository(repository, config(source(folder)), []))


def test_special_files_are_told_and_never_opened(
    tmp_path: Path, ingest: Callable[..., Any]
) -> None:
    """A fifo without a writer would be waited for, for ever."""
    os.mkfifo(tmp_path / "fifo.py")
    (tmp_path / "a.py").write_text("x = 1\n")
    rows, decisions = ingest(source(tmp_path))
    assert [row["path"] for row in rows] == ["a.py"]
    (told,) = decisions
    assert (told["path"], told["rule"], told["detail"]) == ("fifo.py", "device-file", "fifo")


def test_files_that_change_after_they_were_listed(folder: Path) -> None:
    """Each change hits a repository that has been listed and not yet read."""
    changes: dict[str, Callable[[Path], Any]] = {
        "vanishes.py": lambda path: path.unlink(),
        "becomes_fifo.py": lambda path: (path.unlink(), os.mkfifo(path)),
        "becomes_link.py": lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
        "becomes_folder.py": lambda path: (path.unlink(), path.mkdir()),
        "shrinks.py": lambda path: path.write_text("x"),
    }
    for name in changes:
        (folder / name).write_text("x = 1\n" * 100)
    (repository,) = list_repositories(config(source(folder)))
    decisions: list[Any] = []
    rows = read_repository(repository, config(source(folder)), decisions)
    first = next(rows)
    assert first["path"] < min(changes)
    for name, change in changes.items():
        change(folder / name)
    read = {row["path"]: row["size"] for row in rows}
    assert {name: read.get(name) for name in changes if name in read} == {"shrinks.py": 1}
    told = {row["path"]: row["rule"] for row in decisions}
    for name in changes.keys() - {"shrinks.py"}:
        assert told[name] == "unreadable"


def test_a_file_that_grows_is_read_no_further_than_it_was(tmp_path: Path) -> None:
    """``/dev/zero`` stands for one that grows as fast as it is read: nothing of it is taken."""
    with pytest.raises(OSError, match="not a regular file"):
        reader("/dev/zero")()
    (tmp_path / "a.py").write_text("x = 1\n")
    assert reader(str(tmp_path / "a.py"))() == b"x = 1\n"


def test_a_converted_file_is_an_edit(tmp_path: Path, ingest: Callable[..., Any]) -> None:
    text = "# -*- coding: cp1251 -*-\n# Проверка\nx = 1\n"
    (tmp_path / "a.py").write_bytes(text.encode("cp1251"))
    (row,), (edit,) = ingest(source(tmp_path))
    assert row["content"] == text
    assert row["size"] == edit["size"] == len(text.encode())
    assert row["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert (edit["action"], edit["rule"], edit["detail"]) == (
        *("edit", "encoding", "from windows-1251"),
    )
    (drop,) = ingest(source(tmp_path), encodings="drop")[1]
    assert (drop["action"], drop["rule"]) == ("drop", "encoding")
    # Of two bytes a letter, the text may be too large where the file was not.
    _, (large,) = ingest(source(tmp_path), max_file_bytes=len(text))
    assert (large["rule"], large["value"]) == ("oversize", len(text.encode()))
