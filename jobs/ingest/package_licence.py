"""The licence that a package states in its metadata, read from its files without installing it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackagePath
from os import PathLike
from typing import Any

from treespan.jobs.ingest.detect_licence import NO_ASSERTION, identify, joined, normalise
from treespan.jobs.ingest.python_environment import licence_of
from treespan.jobs.ingest.repository import Entry, text_of

MAX_METADATA_BYTES = 1_000_000
"""Longer metadata is not read (ours)."""

MAX_GLOBS = 10_000
"""Of a copyright file with more, paragraphs do not count by file (ours: each is tried on each file)."""

_WHEEL = re.compile(r"[^/]+\.(dist-info|egg-info)/(METADATA|PKG-INFO)")
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright")
_FIELD = re.compile(r"^(\w[\w-]*):[ \t]*((?:.*)(?:\n[ \t].*)*)", re.MULTILINE)
_PARAGRAPH_LICENCE = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE)

DEBIAN_NAMES = {
    "expat": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-2-clause": "BSD-2-Clause",
    "artistic": "Artistic-1.0",
    "gpl-1+": "GPL-1.0-or-later",
    "gpl-2": "GPL-2.0-only",
    "gpl-2+": "GPL-2.0-or-later",
    "gpl-3": "GPL-3.0-only",
    "gpl-3+": "GPL-3.0-or-later",
    "lgpl-2": "LGPL-2.0-only",
    "lgpl-2+": "LGPL-2.0-or-later",
    "lgpl-2.1": "LGPL-2.1-only",
    "lgpl-2.1+": "LGPL-2.1-or-later",
    "lgpl-3": "LGPL-3.0-only",
    "lgpl-3+": "LGPL-3.0-or-later",
    "public-domain": "LicenseRef-public-domain",
}
"""Short names of Debian's copyright format that are not SPDX's."""


def licence_of_package(entries: Sequence[Entry]) -> str:
    """SPDX expression from a package's metadata; empty if there is none or it tells nothing."""
    readable = {entry.path: entry for entry in entries if not entry.skip}
    for path in sorted(readable):
        if path == "PKG-INFO" or _WHEEL.fullmatch(path):
            return licence_of(_Packed(_text(readable[path]), readable))
    if "package.json" in readable:
        return licence_of_npm(_text(readable["package.json"]))
    copyrights = sorted(filter(_COPYRIGHT.fullmatch, readable))
    return joined(licence_of_debian(_text(readable[path])) for path in copyrights)


def licence_of_npm(text: str) -> str:
    """From package.json: ``license``, or the ``licenses`` of old packages, which are a choice."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    stated = fields.get("license", fields.get("licenses")) if isinstance(fields, dict) else None
    listed = stated if isinstance(stated, list) else [stated]
    names = [item.get("type") if isinstance(item, dict) else item for item in listed]
    return normalise(" OR ".join(name for name in names if isinstance(name, str)))


def licence_of_debian(text: str) -> str:
    """From a copyright file: every licence of its paragraphs (DEP-5), else what the text is."""
    if "copyright-format/1.0" not in text[:1000]:
        return joined(identify(text))
    stated = [line.strip() for line in _PARAGRAPH_LICENCE.findall(text)]
    names = [normalise(DEBIAN_NAMES.get(name.lower(), name)) for name in stated]
    return joined(names) if all(names) else NO_ASSERTION


@dataclass(frozen=True)
class FilesLicence:
    """A paragraph of a copyright file in Debian's format."""

    files: re.Pattern[str]
    licence: str


def files_licences(text: str) -> list[FilesLicence]:
    """The paragraphs on files of a copyright file (DEP-5), in order; of several that match a file
    the last holds.

    None if the file has another form, or more than ``MAX_GLOBS`` names of files.
    """
    if "copyright-format/1.0" not in text[:1000]:
        return []
    found = []
    count = 0
    for paragraph in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        fields = dict(_FIELD.findall(paragraph))
        if "Files" in fields and "License" in fields:
            globs = [_glob(glob) for glob in fields["Files"].split()]
            count += len(globs)
            if count > MAX_GLOBS:
                return []
            synopsis = fields["License"].partition("\n")[0]
            found.append(FilesLicence(re.compile("|".join(globs)), licence_of_synopsis(synopsis)))
    return found


def licence_of_synopsis(synopsis: str) -> str:
    """``GPL-2+ or Expat, and BSD-3-clause`` as SPDX; the comma binds less than ``and``."""
    parts: list[str] = []
    for part in synopsis.split(","):
        words = part.split()
        joint = words.pop(0).upper() if words and words[0].lower() in ("and", "or") else ""
        named = " ".join(DEBIAN_NAMES.get(word.lower(), word) for word in words)
        if named:
            parts += [joint or "AND"] * bool(parts) + [f"({named})"]
    return normalise(" ".join(parts)) or NO_ASSERTION


def _glob(glob: str) -> str:
    """``*`` and ``?`` match slashes too; a backslash takes a character as it is.

    What follows a ``*`` is taken where it first occurs, for good: no later place could help, and
    trying them all takes time exponential in the number of ``*``.
    """
    parts = [""]
    for piece in re.findall(r"\\.|.", glob.removeprefix("./")):
        if piece == "*":
            parts.append("")
        else:
            parts[-1] += "." if piece == "?" else re.escape(piece[-1])
    first, *middle = parts[:-1] or [""]
    steps = "".join(f"(?>.*?{part})" for part in middle if part)
    return f"(?s:{first}{steps}{'.*' * (len(parts) > 1)}{parts[-1]})"


def _text(entry: Entry) -> str:
    too_large = entry.size is not None and entry.size > MAX_METADATA_BYTES
    return "" if too_large else text_of(entry)


class _Packed(Distribution):
    """A distribution in an archive, so far as its licence goes."""

    def __init__(self, metadata: str, entries: Mapping[str, Entry]) -> None:
        self._metadata = metadata
        self._entries = entries

    def read_text(self, filename: str) -> str | None:
        return self._metadata if filename == "METADATA" else None

    @property
    def files(self) -> list[PackagePath]:
        """What lies in the metadata's folder: licence texts of the package itself."""
        found = []
        for path in self._entries:
            if path.partition("/")[0].endswith((".dist-info", ".egg-info")):
                file = PackagePath(path)
                file.dist = self
                found.append(file)
        return found

    def locate_file(self, path: str | PathLike[str]) -> Any:
        return _PackedFile(_text(self._entries[str(path)]))


class _PackedFile:
    """As much of a ``pathlib.Path`` as ``PackagePath.read_text`` wants (it differs by Python)."""

    def __init__(self, text: str) -> None:
        self._text = text

    def open(self, *_: Any, **__: Any) -> io.StringIO:
        return io.StringIO(self._text)

    def read_text(self, *_: Any, **__: Any) -> str:
        return self._text
