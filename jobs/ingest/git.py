"""Git repositories, read from their objects: no checkout, and a bare repository is as good.

What is read is a commit, so changes in the work tree that are not committed do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISLNK

from dulwich.errors import NotGitRepository
from dulwich.object_store import iter_tree_contents
from dulwich.objects import S_ISGITLINK, Commit, ObjectID
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo

from treespan.jobs.ingest.config import GitSource
from treespan.jobs.ingest.detect_licence import licence_of_entries, normalise_given
from treespan.jobs.ingest.directory import existing_folder, subfolders
from treespan.jobs.ingest.repository import Entry, Snapshot, check_here, printable, unread
from treespan.platform.errors import UserError

MAX_COMMITS_COUNTED = 10_000
"""Counting stops here (ours): the number ranks repositories, and more history ranks no higher."""


@dataclass(frozen=True)
class GitRepository:
    """One commit of a git repository."""

    name: str
    path: str
    commit: str
    licence: str = ""
    source: str = "git"

    @property
    def origin(self) -> str:
        return self.path

    def state(self) -> str:
        """The commit id."""
        return self.commit

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        check_here(self.origin, self.path)
        with Repo(self.path) as repo:
            commit = parse_commit(repo, self.commit)
            entries = list(_entries(repo, commit))
            yield Snapshot(
                entries,
                self.licence or licence_of_entries(entries),
                licence_is_final=bool(self.licence),
                commits=count_commits(repo, commit.id),
            )


def list_git(source: GitSource) -> list[GitRepository]:
    """The repositories of ``source``.

    Raises ``UserError`` if the path is missing or no git repository, the ref is unknown, or (with
    ``each_subfolder``) no subfolder is a repository. With ``each_subfolder``, a repository whose
    ref cannot be resolved is still listed, without a commit: reading it fails and is told in the
    ledger, and the others go on.
    """
    root = existing_folder(source.path, "git")
    licence = normalise_given(source.licence)
    if not source.each_subfolder:
        name = source.repo or root.name.removesuffix(".git") or root.parent.name
        try:
            commit = _resolve(root, source.ref)
        except NotGitRepository:
            raise UserError(
                f"source {source.path} is not a git repository.",
                "Correct 'path', or use kind: directory.",
            ) from None
        except (KeyError, ValueError):
            raise UserError(
                f"source {source.path} has no ref {source.ref!r}.",
                "Give a branch, a tag or a commit that exists there as 'ref'.",
            ) from None
        return [GitRepository(name, str(root), commit, licence)]
    found = []
    for child in subfolders(root):
        try:
            commit = _resolve(child, source.ref)
        except NotGitRepository:
            continue
        except Exception:  # noqa: BLE001 - a broken repository must not stop the others
            commit = ""
        found.append(GitRepository(child.name.removesuffix(".git"), str(child), commit, licence))
    if not found:
        raise UserError(
            f"source {source.path} is empty: no subfolder is a git repository.",
            "Correct 'path', or leave out 'each_subfolder'.",
        )
    return found


def _resolve(path: Path, ref: str) -> str:
    with Repo(str(path)) as repo:
        return parse_commit(repo, ref).id.decode("ascii")


def _entries(repo: Repo, commit: Commit) -> Iterator[Entry]:
    for item in iter_tree_contents(repo.object_store, commit.tree):
        assert item.path is not None
        assert item.mode is not None
        assert item.sha is not None
        path, valid = printable(item.path)
        if S_ISGITLINK(item.mode):
            yield unread(path, "submodule", item.sha.decode("ascii"))
        elif S_ISLNK(item.mode):
            yield unread(path, "symlink")
        elif not valid:
            yield unread(path, "path-encoding")
        else:
            yield Entry(path, _blob_reader(repo, item.sha))


def _blob_reader(repo: Repo, sha: ObjectID) -> Callable[[], bytes]:
    def read() -> bytes:
        return bytes(repo.object_store.get_raw(sha)[1])

    return read


def count_commits(repo: Repo, head: ObjectID, limit: int = MAX_COMMITS_COUNTED) -> int:
    """Commits reachable from ``head``, at most ``limit``; a shallow clone counts what it has."""
    seen = {head}
    pending = [head]
    while pending and len(seen) < limit:
        try:
            commit = repo.object_store[pending.pop()]
        except KeyError:  # beyond the border of a shallow clone
            continue
        if isinstance(commit, Commit):
            fresh = [parent for parent in commit.parents if parent not in seen]
            seen.update(fresh)
            pending += fresh
    return min(len(seen), limit)
