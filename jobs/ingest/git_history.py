"""What the history of a git repository tells: which commit it had at a date, commits, authors."""

from __future__ import annotations

import datetime as dt
import heapq
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dulwich.objects import ObjectID
from dulwich.repo import Repo

MAX_COMMITS_COUNTED = 10_000
"""Counting stops here (ours): the number ranks repositories, and more history ranks no higher."""

MAX_MAILMAP_BYTES = 1_000_000
"""A longer .mailmap is not read (ours)."""

_PARENT = re.compile(rb"^parent ([0-9a-f]+)$", re.MULTILINE)
_AUTHOR = re.compile(rb"^author ([^<\n]*)<([^>\n]*)>", re.MULTILINE)
_COMMITTED = re.compile(rb"^committer .*> (-?\d+)[^\n]*$", re.MULTILINE)
_MAPPED = re.compile(rb"[^<#]*<([^>]*)>([^<]*)<([^>]*)>")
_NOREPLY = re.compile(rb"\d+\+(.*@users\.noreply\.github\.com)")


@dataclass(frozen=True)
class History:
    """Counts over the newest ``MAX_COMMITS_COUNTED`` commits; -1 where they are not known."""

    commits: int = -1
    authors: int = -1


@dataclass(frozen=True)
class _Commit:
    parents: tuple[ObjectID, ...]
    time: int
    """Of the committer, in seconds since 1970."""
    author: bytes
    email: bytes


def count_history(
    repo: Repo, head: ObjectID, mailmap: Mapping[tuple[bytes, bytes], bytes]
) -> History:
    """Commits reachable from ``head`` and how many people wrote them, told apart by e-mail.

    A shallow clone, or a damaged one, does not know its history: the counts would say how deep the
    clone is. Commits are taken newest first by the committer's clock.
    """
    if repo.get_shallow():
        return History()
    authors: set[bytes] = set()
    seen = {head}
    commits = 0
    try:
        pending = [(0, head, _read(repo, head))]
        while pending and commits < MAX_COMMITS_COUNTED:
            commit = heapq.heappop(pending)[2]
            commits += 1
            authors.add(identity(commit.author, commit.email, mailmap))
            for parent in commit.parents:
                if parent not in seen:
                    seen.add(parent)
                    found = _read(repo, parent)
                    heapq.heappush(pending, (-found.time, parent, found))
    except Exception:  # noqa: BLE001 - a damaged object shows in many shapes; the files may be whole
        return History()
    return History(commits, len(authors))


def commit_at(repo: Repo, head: ObjectID, moment: dt.datetime) -> ObjectID | None:
    """The last commit on the first-parent line of ``head`` that was made at ``moment`` or before.

    The line is followed back from ``head``: what a branch held, not what was written elsewhere by
    then. None if all are later, or the line breaks off before (a shallow clone).
    """
    limit = moment.timestamp()
    place: ObjectID | None = head
    while place is not None:
        try:
            commit = _read(repo, place)
        except KeyError:
            return None
        if commit.time <= limit:
            return place
        place = commit.parents[0] if commit.parents else None
    return None


def read_mailmap(text: bytes) -> dict[tuple[bytes, bytes], bytes]:
    """(name or empty, e-mail) as commits have it -> the person's e-mail; all in lower case.

    Lines that map names only say nothing about who is the same, malformed ones are passed over.
    """
    found = {}
    for line in text.lower().splitlines():
        if match := _MAPPED.match(line.strip()):
            proper, name, email = (part.strip() for part in match.groups())
            found[name, email] = proper
    return found


def identity(name: bytes, email: bytes, mailmap: Mapping[tuple[bytes, bytes], bytes]) -> bytes:
    """Who wrote a commit: the e-mail in lower case, by ``mailmap``; the name where there is none.

    GitHub's private addresses have a number in front since 2017; it is left out.
    """
    name, email = name.strip().lower(), email.strip().lower()
    email = mailmap.get((name, email)) or mailmap.get((b"", email)) or email
    match = _NOREPLY.fullmatch(email)
    return match[1] if match else email or name


def _read(repo: Repo, sha: ObjectID) -> _Commit:
    # Not dulwich's Commit, which refuses the odd names and dates that old histories have.
    data = repo.object_store.get_raw(sha)[1]
    header = data.partition(b"\n\n")[0]
    if not header.startswith(b"tree "):
        raise ValueError(f"{sha.decode('ascii')} is no commit")
    committed = _COMMITTED.search(header)
    author = _AUTHOR.search(header)
    name, email = author.groups() if author else (b"", b"")
    parents = tuple(ObjectID(parent) for parent in _PARENT.findall(header))
    return _Commit(parents, int(committed[1]) if committed else 0, name, email)
