import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dulwich.objects import Blob, Tree
from dulwich.repo import Repo

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.git import find_repositories
from treespan.jobs.ingest.step import list_repositories
from treespan.platform.errors import UserError

Git = Callable[..., str]
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def repository(tmp_path: Path, git: Git) -> Path:
    root = tmp_path / "repos" / "tool"
    (root / "lib").mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=root)
    (root / "lib" / "a.py").write_text("x = 1\n")
    git("add", ".", cwd=root)
    git("commit", "-qm", "one", cwd=root)
    (root / "LICENSE").write_text("SPDX-License-Identifier: ISC\n")
    (root / "lib" / "a.py").write_text("x = 2\n")
    (root / "link").symlink_to("lib/a.py")
    (root / "model.txt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (root / "large.py").write_text("x" * 3000)
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.py")).write_text("y = 1\n")
    git("add", ".", cwd=root)
    commit = "0123456789012345678901234567890123456789"
    git("update-index", "--add", "--cacheinfo", f"160000,{commit},sub", cwd=root)
    git("commit", "-qm", "two", cwd=root)
    (root / "lib" / "a.py").write_text("not committed")
    return root


def check(rows: list[dict[str, Any]], decisions: list[Any], commit: str) -> None:
    assert [(row["path"], row["content"]) for row in rows] == [
        ("LICENSE", "SPDX-License-Identifier: ISC\n"),
        ("lib/a.py", "x = 2\n"),
    ]
    assert {row["repo"] for row in rows} == {"tool"}
    assert {row["commit"] for row in rows} == {commit}
    assert {(row["commits"], row["authors"]) for row in rows} == {(2, 1)}
    assert {row["licence"] for row in rows} == {"ISC"}
    assert {row["path"]: row["rule"] for row in decisions} == {
        "link": "symlink",
        "model.txt": "lfs-pointer",
        "large.py": "oversize",
        "caf\\xe9.py": "path-encoding",
        "sub": "submodule",
    }


def test_work_tree_bare_and_packed_give_the_same(
    repository: Path, tmp_path: Path, git: Git, ingest: Callable[..., Any]
) -> None:
    commit = git("rev-parse", "HEAD", cwd=repository)
    check(*ingest({"kind": "git", "path": str(repository)}, max_file_bytes=2000), commit)
    bare = tmp_path / "bare" / "tool.git"
    git("clone", "-q", "--bare", str(repository), str(bare), cwd=tmp_path)
    git("repack", "-adq", cwd=bare)
    check(*ingest({"kind": "git", "path": str(bare)}, max_file_bytes=2000), commit)
    many = {"kind": "git", "path": str(bare.parent), "each_subfolder": True}
    check(*ingest(many, max_file_bytes=2000), commit)


def test_a_ref_selects_the_commit(repository: Path, git: Git, ingest: Callable[..., Any]) -> None:
    git("tag", "v1", "HEAD~1", cwd=repository)
    rows, decisions = ingest({"kind": "git", "path": str(repository), "ref": "v1"})
    assert [row["content"] for row in rows] == ["x = 1\n"]
    assert decisions == []


def test_a_shallow_clone_does_not_know_its_history(
    repository: Path, tmp_path: Path, git: Git, ingest: Callable[..., Any]
) -> None:
    shallow = tmp_path / "shallow"
    git("clone", "-q", "--depth=1", f"file://{repository}", str(shallow), cwd=tmp_path)
    rows, _ = ingest({"kind": "git", "path": str(shallow)})
    assert {(row["commits"], row["authors"]) for row in rows} == {(-1, -1)}
    old = {"kind": "git", "path": str(shallow), "date": "2000-01-01"}
    with pytest.raises(UserError, match="no commit of HEAD at 2000-01-01"):
        ingest(old)


def test_a_damaged_repository_among_many_is_told(
    repository: Path, ingest: Callable[..., Any]
) -> None:
    broken = repository.parent / "broken"
    shutil.copytree(repository, broken, symlinks=True)
    shutil.rmtree(broken / ".git" / "objects")
    (broken / ".git" / "objects").mkdir()
    many = {"kind": "git", "path": str(repository.parent), "each_subfolder": True}
    rows, decisions = ingest(many, max_file_bytes=2000)
    assert {row["repo"] for row in rows} == {"tool"}
    told = [row for row in decisions if row["repo"] == "broken"]
    assert [(row["rule"], row["path"]) for row in told] == [("repository-error", "")]


def test_a_damaged_repository_by_itself_is_told(
    repository: Path, git: Git, ingest: Callable[..., Any]
) -> None:
    commit = git("rev-parse", "HEAD", cwd=repository)
    loose = repository / ".git" / "objects" / commit[:2] / commit[2:]
    loose.chmod(0o644)
    loose.write_bytes(b"damaged")
    rows, decisions = ingest({"kind": "git", "path": str(repository)})
    assert rows == []
    assert [(row["repo"], row["rule"]) for row in decisions] == [("tool", "repository-error")]


def test_paths_that_lead_outside_are_told(tmp_path: Path, ingest: Callable[..., Any]) -> None:
    """No git writes such trees."""
    with Repo.init(str(tmp_path)) as repo:
        blob = Blob.from_string(b"x = 1\n")
        tree = Tree()
        names = (b"../../evil.py", b"/etc/passwd.py", b"a//b.py", b"./c.py", b"good.py")
        for name in names:
            tree.add(name, 0o100644, blob.id)
        up = Tree()
        up.add(b"..", 0o40000, tree.id)
        up.add(b"ok", 0o40000, tree.id)
        for made in (blob, tree, up):
            repo.object_store.add_object(made)
        repo.get_worktree().commit(b"x", committer=b"a <a@b.c>", author=b"a <a@b.c>", tree=up.id)
    rows, decisions = ingest({"kind": "git", "path": str(tmp_path)})
    assert [row["path"] for row in rows] == ["ok/good.py"]
    assert {row["rule"] for row in decisions} == {"archive-path"}
    assert len(decisions) == 9


def test_folders_may_lie_at_any_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b.git").mkdir()
    (tmp_path / "c" / "d.git").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    for _ in range(4200):  # longer than any path may be
        os.mkdir("d")
        os.chdir("d")
    found = [path.relative_to(tmp_path).as_posix() for path in find_repositories(tmp_path)]
    for _ in range(4200):
        os.chdir("..")
        os.rmdir("d")
    assert found == ["b.git", "c/d.git"]


def test_wrong_repositories_say_what_and_how(repository: Path, tmp_path: Path) -> None:
    def list_them(**source: Any) -> None:
        list_repositories(IngestConfig.model_validate({"sources": [{"kind": "git", **source}]}))

    with pytest.raises(UserError, match=r"not a git repository.*kind: directory"):
        list_them(path=str(repository / "lib"))
    with pytest.raises(UserError, match="has no ref 'nope'"):
        list_them(path=str(repository), ref="nope")
    with pytest.raises(UserError, match="nothing below it is a git repository"):
        list_them(path=str(repository / "lib"), each_subfolder=True)
    with pytest.raises(UserError, match="does not exist"):
        list_them(path=str(tmp_path / "none"))
