"""Debian source packages: upstream's archives and ``debian/``, laid together, patches not applied.

A licence of a source package is that of each file, as ``debian/copyright`` (DEP-5) tells it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from treespan.jobs.ingest.archive import open_archive
from treespan.jobs.ingest.location import Location
from treespan.jobs.ingest.member import Limits, settle
from treespan.jobs.ingest.package_licence import FilesLicence, files_licences, licence_of_debian
from treespan.jobs.ingest.repository import Entry

COPYRIGHT = "debian/copyright"
MAX_COPYRIGHT_BYTES = 4_000_000
"""A longer one is not read (ours)."""

_COMPONENT = re.compile(r"\.orig-([\w.-]+?)\.tar\.")


@contextmanager
def open_source_package(
    files: Sequence[Location], limits: Limits
) -> Iterator[tuple[list[Entry], str]]:
    """Its files, each with its own licence where one is stated, and the licence of the others."""
    with ExitStack() as stack:
        found: list[Entry] = []
        # Debian's part comes last, and so replaces what upstream has at the same paths.
        for file in sorted(files, key=lambda file: (".debian.tar." in file.name, file.name)):
            own = ".orig" not in file.name
            kept = max(limits.keep_bytes, MAX_COPYRIGHT_BYTES) if own else limits.keep_bytes
            archive = open_archive(file, replace(limits, keep_bytes=kept))
            found += _placed(list(stack.enter_context(archive)), file.name)
        entries = settle(found, "")
        text = _copyright(entries)
        stated = files_licences(text)
        if not stated:
            yield entries, licence_of_debian(text) if text else ""
            return
        yield [replace(entry, licence=_licence(entry.path, stated)) for entry in entries], ""


def _placed(members: list[Entry], archive: str) -> list[Entry]:
    """``members`` where unpacking puts them: upstream's top folder has no meaning, a component is
    a folder of its own."""
    if ".debian.tar." in archive:
        return members
    first = min((entry.path for entry in members if not entry.skip), default="")
    settled = settle(members, first.partition("/")[0])
    component = _COMPONENT.search(archive)
    if component is None:
        return settled
    return [replace(entry, path=f"{component[1]}/{entry.path}") for entry in settled]


def _copyright(entries: Sequence[Entry]) -> str:
    for entry in entries:
        if entry.path == COPYRIGHT and not entry.skip:
            size = entry.size or 0
            return entry.read().decode("utf-8", "replace") if size <= MAX_COPYRIGHT_BYTES else ""
    return ""


def _licence(path: str, stated: Sequence[FilesLicence]) -> str:
    """That of the last paragraph that names the file, as DEP-5 has it."""
    matching = (item.licence for item in reversed(stated) if item.files.fullmatch(path))
    return next(matching, "")
