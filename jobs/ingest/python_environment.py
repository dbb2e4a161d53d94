"""The running Python's standard library and installed distributions: real code on every machine.

Workers read their own environment; it must be the driver's (the same image or virtual environment
everywhere), and a distribution of another version is told in the ledger as ``repository-error``.
"""

from __future__ import annotations

import platform
import re
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import PurePosixPath

from treespan.jobs.ingest.config import PythonEnvironmentSource
from treespan.jobs.ingest.detect_licence import identify, is_licence_file, joined, normalise
from treespan.jobs.ingest.directory import IGNORED_FOLDERS, entry_of, list_entries
from treespan.jobs.ingest.repository import NotHereError, Snapshot
from treespan.platform.errors import UserError

OWN_DISTRIBUTION = "treespan"
"""Left out: a model of the user's environment should not learn this program."""

CLASSIFIERS = {
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Apache Software License": "Apache-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
    "Zero-Clause BSD (0BSD)": "0BSD",
    "The Unlicense (Unlicense)": "Unlicense",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "zlib/libpng License": "Zlib",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Academic Free License (AFL)": "AFL-3.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
}
"""Trove classifiers that name one licence each."""

FAMILIES = {"BSD License": "BSD-"}
"""Classifiers that name a family: the first text of that family is the distribution's own licence.
What stands behind it in a wheel's licence file belongs to bundled libraries, often binary ones."""


@dataclass(frozen=True)
class StandardLibrary:
    """The standard library, without what is installed into it."""

    commit: str
    name: str = "cpython"
    source: str = "python-environment"

    @property
    def origin(self) -> str:
        return "the standard library"

    def state(self) -> str:
        """Python's version."""
        return self.commit

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        _same_version(self.commit, platform.python_version())
        ignored = IGNORED_FOLDERS | {"site-packages", "dist-packages"}
        yield Snapshot(list_entries(sysconfig.get_path("stdlib"), ignored), "PSF-2.0")


@dataclass(frozen=True)
class Installed:
    """One installed distribution; its version stands for the commit."""

    name: str
    commit: str
    source: str = "python-environment"

    @property
    def origin(self) -> str:
        return f"the installed distribution {self.name} {self.commit}"

    def state(self) -> str:
        """The version."""
        return self.commit

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        distribution = _installed()[self.name]
        _same_version(self.commit, distribution.version)
        entries = [
            entry_of(str(PurePosixPath(file)), str(distribution.locate_file(file)))
            for file in distribution.files or ()
            if not _is_outside(file) and "__pycache__" not in file.parts
        ]
        yield Snapshot(entries, licence_of(distribution))


def list_python_environment(source: PythonEnvironmentSource) -> list[StandardLibrary | Installed]:
    """The repositories of the running interpreter. Raises ``UserError`` if none is chosen."""
    found: list[StandardLibrary | Installed] = []
    if source.standard_library:
        found.append(StandardLibrary(platform.python_version()))
    for name, distribution in sorted(_installed().items()):
        if name != OWN_DISTRIBUTION and _chosen(name, source):
            found.append(Installed(name, distribution.version))
    if not found:
        raise UserError(
            "source python-environment is empty: no distribution matches.",
            "Widen 'include', or set standard_library: true.",
        )
    return found


def licence_of(distribution: Distribution) -> str:
    """SPDX expression from the metadata, best evidence first; empty when it tells nothing.

    License-Expression (PEP 639) is SPDX by definition. Then a License field that reads as SPDX or
    as a common name, then classifiers that name one licence each, then the licence texts.
    """
    field = _field(distribution, "License")
    for stated in (_field(distribution, "License-Expression"), field if len(field) < 120 else ""):
        expression = normalise(stated)
        if expression:
            return expression
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in distribution.metadata.get_all("Classifier", [])
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    if classifiers and all(line in CLASSIFIERS for line in classifiers):
        return joined(CLASSIFIERS[line] for line in classifiers)
    found = [name for text in (field, *_licence_texts(distribution)) for name in identify(text)]
    if len(classifiers) == 1 and classifiers[0] in FAMILIES:
        family = [name for name in found if name.startswith(FAMILIES[classifiers[0]])]
        return family[0] if family else ""
    return joined(found)


def _licence_texts(distribution: Distribution) -> Iterator[str]:
    """The distribution's own licence files: those in its .dist-info, not those of vendored code."""
    for file in sorted(distribution.files or (), key=str):
        in_metadata = file.parts[0].endswith((".dist-info", ".egg-info"))
        depth = len(file.parts) - (3 if "licenses" in file.parts[1:2] else 2)
        if in_metadata and depth == 0 and is_licence_file(file.name):
            try:
                yield file.read_text()
            except (OSError, UnicodeDecodeError):
                continue


@lru_cache(maxsize=1)
def _installed() -> dict[str, Distribution]:
    """By normalised name; of several on the path, the first is the one that is imported."""
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        name = _field(distribution, "Name")
        if name:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution)
    return found


def _field(distribution: Distribution, name: str) -> str:
    return (distribution.metadata[name] or "") if name in distribution.metadata else ""


def _chosen(name: str, source: PythonEnvironmentSource) -> bool:
    included = any(fnmatchcase(name, glob) for glob in source.include)
    return included and not any(fnmatchcase(name, glob) for glob in source.exclude)


def _is_outside(file: PurePosixPath) -> bool:
    """Scripts and data that a distribution puts beside site-packages."""
    return file.is_absolute() or ".." in file.parts


def _same_version(expected: str, here: str) -> None:
    if expected != here:
        raise NotHereError(
            f"version {here} is installed on the node {platform.node()}, {expected} on the driver's.",
            "Give all nodes the same environment.",
        )
