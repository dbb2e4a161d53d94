"""Git repositories, read from their objects: no checkout, and a bare repository is as good.

What is read is a commit, so changes in the work tree that are not committed do not count.
"""

from __future__ import annotations

import os
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
from treespan.jobs.ingest.git_history import (
    MAX_MAILMAP_BYTES,
    commit_at,
    count_history,
    read_mailmap,
)
from treespan.jobs.ingest.git_objects import MAX_BASE_BYTES, Extent, ObjectSizes, read_loose
from treespan.jobs.ingest.member import entry_path
from treespan.jobs.ingest.repository import Entry, Snapshot, check_here, printable, unread
from treespan.platform.errors import UserError


class NoCommitError(Exception):
    """There is no commit to read: the reference or the date leads to none."""


@dataclass(frozen=True)
class GitRepository:
    """One commit of a git repository."""

    name: str
    path: str
    commit: str
    licence: str = ""
    problem: str = ""
    """Why there is no commit; the ledger tells it."""
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
        if self.problem:
            raise NoCommitError(self.problem)
        with Repo(self.path) as repo:
            commit = parse_commit(repo, self.commit)
            with ObjectSizes(repo.object_store) as sizes:
                entries = list(_entries(repo, commit, sizes))
            history = count_history(repo, commit.id, _mailmap(entries))
            yield Snapshot(
                entries,
                self.licence or licence_of_entries(entries),
                licence_is_final=bool(self.licence),
                commits=history.commits,
                authors=history.authors,
            )


def list_git(source: GitSource) -> list[GitRepository]:
    """The repositories of ``source``.

    Raises ``UserError`` if the path is missing or no git repository, the ref is unknown, there is
    no commit at its date, or (with ``each_subfolder``) nothing below is a repository. A damaged
    repository, and with ``each_subfolder`` one without such a commit, is still listed, without a
    commit: reading it fails and is told in the ledger, and the others go on.
    """
    root = existing_folder(source.path, "git")
    licence = normalise_given(source.licence)
    if not source.each_subfolder:
        return [_only_one(root, source, licence)]
    found = [_one_of_many(root, child, source, licence) for child in find_repositories(root)]
    if not found:
        raise UserError(
            f"source {source.path} is empty: nothing below it is a git repository.",
            "Correct 'path', or leave out 'each_subfolder'.",
        )
    return found


def find_repositories(root: Path) -> Iterator[Path]:
    """Git repositories below ``root`` at any depth, sorted by name in each folder.

    What lies inside of one (submodules, work trees) is part of it or reads the same objects, and is
    not looked for. A folder named ``*.git`` counts even if damaged, so that reading it tells. One
    that cannot be listed, or lies deeper than a path can be long, is passed over.
    """
    pending = subfolders(root)[::-1]
    while pending:
        child = pending.pop()
        try:
            found = _looks_like_git(child)
            below = [] if found else subfolders(child)
        except OSError:
            continue
        if found:
            yield child
        pending += reversed(below)


def _looks_like_git(folder: Path) -> bool:
    if folder.name.endswith(".git") or os.path.lexists(folder / ".git"):
        return folder.name != ".git"
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def _only_one(root: Path, source: GitSource, licence: str) -> GitRepository:
    name = source.repo or root.name.removesuffix(".git") or root.parent.name
    try:
        return GitRepository(name, str(root), _resolve(root, source), licence)
    except NotGitRepository:
        raise UserError(
            f"source {source.path} is not a git repository.",
            "Correct 'path', or use kind: directory.",
        ) from None
    except NoCommitError as error:
        raise UserError(
            f"source {source.path} has {error}.",
            "Give a later 'date', or leave it out.",
        ) from None
    except (KeyError, ValueError):
        raise UserError(
            f"source {source.path} has no ref {source.ref!r}.",
            "Give a branch, a tag or a commit that exists there as 'ref'.",
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged object, in one of many shapes
        return GitRepository(name, str(root), "", licence, f"{type(error).__name__}: {error}")


def _one_of_many(root: Path, path: Path, source: GitSource, licence: str) -> GitRepository:
    name, _ = printable(os.fsencode(path.relative_to(root).as_posix().removesuffix(".git")))
    try:
        return GitRepository(name, str(path), _resolve(path, source), licence)
    except NoCommitError as error:
        problem = str(error)
    except (KeyError, ValueError):
        problem = f"no ref {source.ref!r}"
    except Exception as error:  # noqa: BLE001 - a broken repository must not stop the others
        problem = f"{type(error).__name__}: {error}"
    return GitRepository(name, str(path), "", licence, problem)


def _resolve(path: Path, source: GitSource) -> str:
    with Repo(str(path)) as repo:
        head = parse_commit(repo, source.ref).id
        if source.date is None:
            return head.decode("ascii")
        commit = commit_at(repo, head, source.date)
        if commit is None:
            shown = f"{source.date:%Y-%m-%d %H:%M:%S} UTC"
            raise NoCommitError(f"no commit of {source.ref} at {shown} or before")
        return commit.decode("ascii")


def _entries(repo: Repo, commit: Commit, sizes: ObjectSizes) -> Iterator[Entry]:
    for item in iter_tree_contents(repo.object_store, commit.tree):
        assert item.path is not None
        assert item.mode is not None
        assert item.sha is not None
        path, rule = entry_path(item.path)
        shown = printable(item.path)[0]
        if rule == "archive-path" or path != shown:
            yield unread(shown, "archive-path")
            continue
        if S_ISGITLINK(item.mode):
            yield unread(path, "submodule", item.sha.decode("ascii"))
            continue
        extent = _extent(sizes, item.sha)
        size = extent.size if isinstance(extent, Extent) else None
        if S_ISLNK(item.mode):
            yield unread(path, "symlink", size=size)
        elif rule:
            yield unread(path, rule, size=size)
        else:
            yield Entry(path, _blob_reader(repo, item.sha, extent), size)


def _extent(sizes: ObjectSizes, sha: ObjectID) -> Extent | str:
    """The extent of an object, or why it cannot be read."""
    try:
        return sizes.extent(sha)
    except KeyError:
        return f"the object {sha.decode('ascii')} is missing"
    except Exception as error:  # noqa: BLE001 - a damaged object, in one of many shapes
        return f"the object {sha.decode('ascii')} is damaged ({type(error).__name__}: {error})"


def _blob_reader(repo: Repo, sha: ObjectID, extent: Extent | str) -> Callable[[], bytes]:
    def read() -> bytes:
        if isinstance(extent, str):
            raise OSError(extent)
        if extent.largest > max(extent.size, MAX_BASE_BYTES):
            raise OSError(f"a delta to an object of {extent.largest} bytes")
        if extent.loose:
            return read_loose(extent)
        return bytes(repo.object_store.get_raw(sha)[1])

    return read


def _mailmap(entries: list[Entry]) -> dict[tuple[bytes, bytes], bytes]:
    found = next((entry for entry in entries if entry.path == ".mailmap"), None)
    if found is None or found.size is None or found.size > MAX_MAILMAP_BYTES:
        return {}
    try:
        return read_mailmap(found.read())
    except Exception:  # noqa: BLE001 - told in the ledger when the file itself is read
        return {}
