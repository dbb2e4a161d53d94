"""Archives as repositories: tar, zip, wheel, sdist, npm tarball, Debian package; in memory only.

What an archive is, its first bytes tell, not its name. A member that must not be read (a link, a
device, a path that leads outside) is told in the ledger; a bomb is refused as a whole.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from treespan.jobs.ingest.archive_deb import MAGIC, read_deb
from treespan.jobs.ingest.archive_name import SUFFIXES, name_and_version, stem
from treespan.jobs.ingest.archive_tar import read_tar
from treespan.jobs.ingest.archive_zip import read_zip
from treespan.jobs.ingest.config import ArchiveGuards, ArchiveSource
from treespan.jobs.ingest.detect_licence import licence_of_entries, normalise_given
from treespan.jobs.ingest.location import Location, find_files
from treespan.jobs.ingest.member import Limits, settle
from treespan.jobs.ingest.package_licence import licence_of_package
from treespan.jobs.ingest.repository import Entry, Snapshot
from treespan.platform.errors import UserError


@dataclass(frozen=True)
class Archive:
    """One archive; its version stands for the commit."""

    name: str
    commit: str
    location: Location
    limits: Limits
    licence: str = ""
    source: str = "archive"

    @property
    def origin(self) -> str:
        return self.location.path

    def state(self) -> Any:
        """Path, size and modification time of the file."""
        return self.location.state()

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        with open_archive(self.location, self.limits) as members:
            entries = settle(members, stem(self.location.name))
            licence = self.licence or licence_of_package(entries) or licence_of_entries(entries)
            yield Snapshot(entries, licence, licence_is_final=bool(self.licence))


@contextmanager
def open_archive(location: Location, limits: Limits) -> Iterator[Iterator[Entry]]:
    """The members of an archive, in its own order; they can be read within the block."""
    with location.open() as file:
        stream = io.BufferedReader(file, 1 << 18)
        head = stream.read(len(MAGIC))
        stream.seek(0)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            read = read_zip
        else:
            read = read_deb if head == MAGIC else read_tar
        yield read(stream, location.bytes, limits)


def limits_of(guards: ArchiveGuards, keep_bytes: int) -> Limits:
    """What an archive may cost by the recipe."""
    return Limits(guards.max_unpacked_bytes, guards.max_members, guards.max_ratio, keep_bytes)


def list_archives(source: ArchiveSource, keep_bytes: int) -> list[Archive]:
    """The repositories of ``source``, whose files above ``keep_bytes`` will not be wanted.

    Raises ``UserError`` if the path is missing, holds no archive, or is a folder unasked.
    """
    found, is_file = find_files(source.path, "archive", SUFFIXES)
    if not (is_file or source.each_file):
        raise UserError(
            f"source {source.path} is a folder with {len(found)} archives.",
            "Set each_file: true to read each as a repository.",
        )
    if source.repo and not is_file:
        raise UserError(f"source {source.path} has 'repo' and many archives.", "Leave 'repo' out.")
    limits = limits_of(source, keep_bytes)
    licence = normalise_given(source.licence)
    return [
        Archive(source.repo or name, name_and_version(location.name)[1], location, limits, licence)
        for location, name in zip(found, _names(found), strict=True)
    ]


def _names(locations: Sequence[Location]) -> list[str]:
    """A name for each: without the version where that tells them apart, else with it, and so on.

    A name depends on the other archives only where two would share it.
    """
    choices = [
        (name_and_version(location.name)[0], stem(location.name), location.name, location.path)
        for location in locations
    ]
    names = [choice[0] for choice in choices]
    for level in range(1, 4):
        counts = Counter(names)
        names = [
            choice[level] if counts[name] > 1 else name
            for name, choice in zip(names, choices, strict=True)
        ]
    return names
