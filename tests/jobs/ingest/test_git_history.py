"""Dates, counts, sizes and layouts of git repositories; what is damaged is told."""

import datetime as dt
import hashlib
import os
import random
import shutil
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, ObjectID
from dulwich.pack import write_pack_objects
from dulwich.repo import Repo
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.ingest.config import GitSource, IngestConfig
from treespan.jobs.ingest.git_history import identity, read_mailmap
from treespan.jobs.ingest.git_objects import Extent, ObjectSizes
from treespan.jobs.ingest.step import list_repositories
from treespan.platform.config import build
from treespan.platform.errors import UserError

Git = Callable[..., str]
Ingest = Callable[..., Any]
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def history(tmp_path: Path, git: Git) -> Path:
    """Three commits on main in three years, and a branch from the first that was merged last."""
    root = tmp_path / "tool"
    root.mkdir()
    git("init", "-q", "-b", "main", cwd=root)
    for year, author in ((2019, "Ann <ann@x.org>"), (2021, "Ann <ANN@home.net>")):
        (root / "a.py").write_text(f"year = {year}\n")
        git("add", ".", cwd=root)
        git("commit", "-qm", "x", cwd=root, author=author, date=f"{year}-06-15T12:00:00Z")
    git("checkout", "-qb", "side", "HEAD~1", cwd=root)
    (root / "side.py").write_text("side = 1\n")
    git("add", ".", cwd=root)
    git("commit", "-qm", "x", cwd=root, author="Bob <bob@x.org>", date="2020-01-01T00:00:00Z")
    git("checkout", "-q", "main", cwd=root)
    git("merge", "-q", "--no-ff", "side", cwd=root, date="2023-06-15T12:00:00Z")
    return root


@pytest.mark.parametrize(
    ("date", "found"),
    [
        ("2019-06-15", {"a.py": "year = 2019\n"}),  # a day is meant to its end
        ("2019-06-15T12:00:00Z", {"a.py": "year = 2019\n"}),
        ("2021-06-15T11:59:59", {"a.py": "year = 2019\n"}),  # what the side had by then is not main
        ("2021-06-15T14:00:00+02:00", {"a.py": "year = 2021\n"}),
        ("2023-06-15", {"a.py": "year = 2021\n", "side.py": "side = 1\n"}),
        ("2030-01-01", {"a.py": "year = 2021\n", "side.py": "side = 1\n"}),
    ],
)
def test_a_date_selects_from_the_first_parent_line(
    history: Path, ingest: Ingest, date: str, found: dict[str, str]
) -> None:
    rows, _ = ingest({"kind": "git", "path": str(history), "date": date})
    assert {row["path"]: row["content"] for row in rows} == found


def test_dates_that_cannot_be_say_so(history: Path) -> None:
    early = IngestConfig.model_validate(
        {"sources": [{"kind": "git", "path": str(history), "date": "2019-06-14"}]}
    )
    with pytest.raises(UserError, match=r"no commit of HEAD at 2019-06-14 23:59:59.*later 'date'"):
        list_repositories(early)
    for date in ("yesterday", 2024, "2024", "2024-13-01"):
        with pytest.raises(UserError, match=r"r\.yaml: date: "):
            build(GitSource, {"path": "x", "date": date}, where="r.yaml")


def test_a_date_is_read_from_yaml_and_from_stored_json() -> None:
    end = dt.datetime(2024, 2, 29, 23, 59, 59, tzinfo=dt.UTC)
    midnight = dt.datetime(2024, 2, 29)
    for date, moment in ((dt.date(2024, 2, 29), end), (midnight, midnight.replace(tzinfo=dt.UTC))):
        source = GitSource.model_validate({"path": "x", "date": date})
        assert source.date == moment
        assert GitSource.model_validate(source.to_dict()) == source


def test_commits_and_people_are_counted(history: Path, git: Git, ingest: Ingest) -> None:
    def counted() -> set[tuple[int, int]]:
        rows, _ = ingest({"kind": "git", "path": str(history)})
        return {(row["commits"], row["authors"]) for row in rows}

    assert counted() == {(4, 4)}  # Ann twice, Bob, and a@b.c who merged
    (history / ".mailmap").write_text("# ours\nAnn <ann@x.org> <ann@home.net>\nnonsense >\n")
    git("add", ".", cwd=history)
    git("commit", "-qm", "x", cwd=history, author="Bob <bob@x.org>")
    assert counted() == {(5, 3)}


def test_who_is_the_same() -> None:
    mailmap = read_mailmap(
        b"Ann <ann@x.org> <old@x.org>\nBob <bob@x.org> Root <root@host>\nName <only@x.org>\n"
    )
    assert identity(b"A", b"OLD@x.org ", mailmap) == b"ann@x.org"
    assert identity(b"root", b"root@host", mailmap) == b"bob@x.org"
    assert identity(b"other", b"root@host", mailmap) == b"root@host"
    assert identity(b"Name", b"", mailmap) == b"name"
    assert identity(b"n", b"12+n@users.noreply.github.com", {}) == b"n@users.noreply.github.com"


@given(st.binary())
def test_any_mailmap_is_read(text: bytes) -> None:
    read_mailmap(text)


def test_mirrors_are_found_at_any_depth(
    history: Path, tmp_path: Path, git: Git, ingest: Ingest
) -> None:
    mirrors = tmp_path / "mirrors"
    for name in ("host/org/b.git", "host/org/deep/c.git", "a.git"):
        (mirrors / name).parent.mkdir(parents=True, exist_ok=True)
        git("clone", "-q", "--mirror", str(history), str(mirrors / name), cwd=tmp_path)
    git("clone", "-q", str(history), str(mirrors / "tree"), cwd=tmp_path)
    git("clone", "-q", str(history), str(mirrors / "tree" / "inside"), cwd=tmp_path)
    git("worktree", "add", "-q", str(mirrors / "linked"), "side", cwd=history)
    (mirrors / "notes").mkdir()
    (mirrors / "notes" / "x.py").write_text("x = 1\n")
    (mirrors / "empty.git").mkdir()
    git("init", "-q", str(mirrors / "unborn"), cwd=tmp_path)
    rows, decisions = ingest({"kind": "git", "path": str(mirrors), "each_subfolder": True})
    assert {row["repo"] for row in rows} == {
        *("a", "host/org/b", "host/org/deep/c", "linked", "tree")
    }
    linked = [row["path"] for row in rows if row["repo"] == "linked"]
    assert linked == ["a.py", "side.py"]
    assert {row["repo"]: row["rule"] for row in decisions} == {
        "empty": "repository-error",
        "unborn": "repository-error",
    }
    _, decisions = ingest(
        {"kind": "git", "path": str(mirrors), "each_subfolder": True, "date": "2019-01-01"}
    )
    assert "no commit of HEAD at 2019-01-01" in {r["repo"]: r["detail"] for r in decisions}["tree"]


def test_two_names_that_meet_are_refused(history: Path, tmp_path: Path, git: Git) -> None:
    for name in ("m/x", "m/x.git"):
        git("clone", "-q", "--bare", str(history), str(tmp_path / name), cwd=tmp_path)
    source = {"kind": "git", "path": str(tmp_path / "m"), "each_subfolder": True}
    with pytest.raises(UserError, match="two sources give a repository 'x'"):
        list_repositories(IngestConfig.model_validate({"sources": [source]}))


def test_sha256_repositories_are_read(tmp_path: Path, git: Git, ingest: Ingest) -> None:
    root = tmp_path / "new"
    root.mkdir()
    git("init", "-q", "--object-format=sha256", cwd=root)
    for text in ("x = 1\n", "x = 1\n" * 400, "x = 1\n" * 401):
        (root / "a.py").write_text(text)
        git("add", ".", cwd=root)
        git("commit", "-qm", "x", cwd=root)
    for _ in range(2):  # loose, then packed
        rows, decisions = ingest({"kind": "git", "path": str(root)})
        assert [(row["content"], row["commits"]) for row in rows] == [("x = 1\n" * 401, 3)]
        assert len(rows[0]["commit"]) == 64
        assert decisions == []
        git("gc", "-q", cwd=root)


def test_sizes_are_those_of_the_objects(tmp_path: Path, git: Git) -> None:
    """Loose, packed, as deltas, and in a repository that borrows objects: as git itself says."""
    draw = random.Random(3)
    root = tmp_path / "r"
    root.mkdir()
    git("init", "-q", cwd=root)
    lines = [f"{draw.random()}\n" for _ in range(3000)]
    for _ in range(6):
        lines[draw.randrange(len(lines))] = f"{draw.random()}\n" * draw.randrange(40)
        (root / "a.txt").write_text("".join(lines))
        (root / "empty").write_text("")
        (root / f"{draw.random()}").write_bytes(draw.randbytes(draw.randrange(70_000)))
        git("add", ".", cwd=root)
        git("commit", "-qm", "x", cwd=root)

    def check(path: Path) -> None:
        listed = git(
            "cat-file", "--batch-check=%(objectname) %(objectsize)", "--batch-all-objects", cwd=path
        )
        with Repo(str(path)) as repo, ObjectSizes(repo.object_store) as sizes:
            for line in listed.splitlines():
                sha, size = line.split()
                assert sizes.extent(ObjectID(sha.encode())).size == int(size)
            with pytest.raises(KeyError):
                sizes.extent(ObjectID(b"0" * 40))

    check(root)
    git("repack", "-adfq", cwd=root)
    assert "chain length" in git("verify-pack", "-v", *packs(root), cwd=root)
    check(root)
    git("-c", "pack.depth=50", "repack", "-adfq", "--no-write-bitmap-index", cwd=root)
    git("clone", "-q", "--bare", "--shared", str(root), "borrower.git", cwd=tmp_path)
    check(tmp_path / "borrower.git")


def packs(root: Path) -> list[str]:
    return [str(pack) for pack in (root / ".git" / "objects" / "pack").glob("*.pack")]


def test_a_large_blob_costs_no_memory(tmp_path: Path, git: Git, ingest: Ingest) -> None:
    root = tmp_path / "r"
    root.mkdir()
    git("init", "-q", cwd=root)
    large = 200 << 20
    with open(root / "large.txt", "wb") as file:
        file.truncate(large)
    (root / "a.py").write_text("x = 1\n")
    git("-c", "core.bigFileThreshold=1m", "add", ".", cwd=root)
    git("commit", "-qm", "x", cwd=root)
    for _ in range(2):  # loose or streamed to a pack, then packed
        tracemalloc.start()
        rows, decisions = ingest({"kind": "git", "path": str(root)})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [row["path"] for row in rows] == ["a.py"]
        assert [(row["rule"], row["value"]) for row in decisions] == [("oversize", large)]
        assert peak < 20 << 20
        git("gc", "-q", cwd=root)


def test_a_small_file_on_a_huge_base_is_not_read(tmp_path: Path, git: Git, ingest: Ingest) -> None:
    """No git writes such a pack; reading the file would inflate its base."""
    root = tmp_path / "r"
    root.mkdir()
    git("init", "-q", cwd=root)
    (root / "a.py").write_text("x = 1\n")
    git("add", ".", cwd=root)
    git("commit", "-qm", "x", cwd=root)
    size = 70 << 20
    base = Blob.from_string(bytes(size))
    small = Blob.from_string(b"x = 1\n")
    header = bytes([0b10000000 | size & 127, *(128 | size >> s & 127 for s in (7, 14)), size >> 21])
    delta = header + b"\x06\x06x = 1\n"
    path = root / ".git" / "objects" / "pack" / "made.pack"
    with open(path, "wb") as file:
        write_pack_objects(file, [base], object_format=DiskObjectStore(str(root)).object_format)
    add_delta(path, base.id, delta)
    loose = root / ".git" / "objects" / small.id.decode()[:2] / small.id.decode()[2:]
    loose.unlink()
    git("index-pack", str(path), cwd=root)
    rows, decisions = ingest({"kind": "git", "path": str(root)})
    assert rows == []
    assert [(row["rule"], row["detail"]) for row in decisions] == [
        ("unreadable", f"OSError: a delta to an object of {size} bytes")
    ]


def test_a_delta_may_be_larger_than_what_it_makes(tmp_path: Path, git: Git) -> None:
    git("init", "-q", cwd=tmp_path)
    base, small = Blob.from_string(b"x = 22\n"), Blob.from_string(b"x = 1\n")
    delta = bytes([7, 6]) + b"".join(bytes([1, byte]) for byte in b"x = 1\n")
    path = tmp_path / ".git" / "objects" / "pack" / "made.pack"
    with open(path, "wb") as file:
        write_pack_objects(file, [base], object_format=DiskObjectStore(str(tmp_path)).object_format)
    add_delta(path, base.id, delta)
    git("index-pack", str(path), cwd=tmp_path)
    with Repo(str(tmp_path)) as repo, ObjectSizes(repo.object_store) as sizes:
        assert sizes.extent(small.id) == Extent(size=6, largest=len(delta))


def add_delta(path: Path, base: ObjectID, delta: bytes) -> None:
    """Append a delta against ``base`` to a pack of one object."""
    data = path.read_bytes()[:-20]
    entry = bytes([0x70 | len(delta)]) + bytes.fromhex(base.decode()) + zlib.compress(delta)
    assert len(delta) < 16
    data = data[:8] + (2).to_bytes(4, "big") + data[12:] + entry
    path.write_bytes(data + hashlib.sha1(data).digest())


@pytest.mark.parametrize(
    "stored",
    [b"blob 12\0" + bytes(100 << 20), b"blob 12\0short", bytes(100 << 20), b"blob 99999999\0x = 1"],
)
def test_a_loose_object_is_inflated_no_further_than_it_says(
    history: Path, ingest: Ingest, git: Git, stored: bytes
) -> None:
    sha = git("rev-parse", "HEAD:a.py", cwd=history)
    loose = history / ".git" / "objects" / sha[:2] / sha[2:]
    loose.unlink()
    loose.write_bytes(zlib.compress(stored))
    tracemalloc.start()
    rows, decisions = ingest({"kind": "git", "path": str(history)})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["path"] for row in rows] == ["side.py"]
    assert [(row["path"], row["rule"] in ("unreadable", "oversize")) for row in decisions] == [
        ("a.py", True)
    ]
    assert peak < 20 << 20


def test_a_missing_object_is_one_row(history: Path, ingest: Ingest, git: Git) -> None:
    sha = git("rev-parse", "HEAD:a.py", cwd=history)
    (history / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    rows, decisions = ingest({"kind": "git", "path": str(history)})
    assert [row["path"] for row in rows] == ["side.py"]
    assert [(row["path"], row["rule"]) for row in decisions] == [("a.py", "unreadable")]
    assert f"the object {sha} is missing" in decisions[0]["detail"]


def test_a_missing_commit_leaves_the_files(history: Path, ingest: Ingest, git: Git) -> None:
    sha = git("rev-parse", "HEAD~2", cwd=history)
    (history / ".git" / "objects" / sha[:2] / sha[2:]).unlink()
    rows, decisions = ingest({"kind": "git", "path": str(history)})
    assert {(row["path"], row["commits"], row["authors"]) for row in rows} == {
        ("a.py", -1, -1),
        ("side.py", -1, -1),
    }
    assert decisions == []


@pytest.mark.parametrize("kept", [0, 11, 40, 0.5, 0.9])
def test_a_truncated_pack_is_told(
    history: Path, tmp_path: Path, git: Git, ingest: Ingest, kept: float
) -> None:
    git("gc", "-q", cwd=history)
    (pack,) = packs(history)
    data = Path(pack).read_bytes()
    os.chmod(pack, 0o644)
    Path(pack).write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    many = {"kind": "git", "path": str(tmp_path), "each_subfolder": True}
    rows, decisions = ingest(many)
    whole = {"a.py": "year = 2021\n", "side.py": "side = 1\n"}
    assert all(whole[row["path"]] == row["content"] for row in rows)
    assert {row["rule"] for row in decisions} <= {"repository-error", "unreadable"}
    assert decisions
