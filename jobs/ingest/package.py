"""Packages by name as repositories; their version stands for the commit.

The driver fetches what the store lacks (``package_cache``), so a package is an archive in the store
for everybody else, read with the same guards as any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treespan.jobs.ingest.archive import limits_of, open_archive
from treespan.jobs.ingest.archive_name import stem
from treespan.jobs.ingest.config import PackageSource
from treespan.jobs.ingest.detect_licence import licence_of_entries, normalise_given
from treespan.jobs.ingest.location import Location
from treespan.jobs.ingest.member import Limits, settle
from treespan.jobs.ingest.package_cache import Request, Resolved, resolve
from treespan.jobs.ingest.package_client import Client, PackageError
from treespan.jobs.ingest.package_debian import DEBIAN
from treespan.jobs.ingest.package_licence import licence_of_package
from treespan.jobs.ingest.package_npm import NPM
from treespan.jobs.ingest.package_pypi import PYPI
from treespan.jobs.ingest.repository import RefusedError, Snapshot
from treespan.jobs.ingest.source_package import open_source_package
from treespan.platform.errors import UserError
from treespan.platform.store import Store

CLIENTS = {"pypi": PYPI, "npm": NPM, "debian": DEBIAN}


@dataclass(frozen=True)
class Package:
    """One version of a package, in the store."""

    name: str
    commit: str
    ecosystem: str
    files: tuple[Location, ...]
    limits: Limits
    licence: str = ""
    source: str = "package"

    @property
    def origin(self) -> str:
        return f"the package {self.name} {self.commit}"

    def state(self) -> Any:
        """Version and content."""
        return [self.commit, [file.path.split("/")[-2:] for file in self.files]]

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        if self.ecosystem == "debian":
            with open_source_package(self.files, self.limits) as (entries, stated):
                licence = self.licence or stated or licence_of_entries(entries)
                yield Snapshot(entries, licence, licence_is_final=bool(self.licence))
            return
        (file,) = self.files
        with open_archive(file, self.limits) as members:
            entries = settle(members, stem(file.name))
            licence = self.licence or licence_of_package(entries) or licence_of_entries(entries)
            yield Snapshot(entries, licence, licence_is_final=bool(self.licence))


@dataclass(frozen=True)
class MissingPackage:
    """A package that could not be had; reading it tells why in the ledger."""

    name: str
    problem: str
    commit: str = ""
    source: str = "package"

    @property
    def origin(self) -> str:
        return f"the package {self.name}"

    def state(self) -> str:
        """Not the client's words: they may differ from one try to the next."""
        return "missing"

    @contextmanager
    def open(self) -> Iterator[Snapshot]:
        raise RefusedError("package-error", self.problem)
        yield


def list_packages(
    source: PackageSource, store: Store, keep_bytes: int
) -> list[Package | MissingPackage]:
    """The packages of ``source``, fetched into ``store`` where it lacks them.

    Raises ``UserError`` for a name that is none, a client that is not installed, or if no package
    at all can be had.
    """
    requests = requested(source)
    found = resolve(requests, store, source.refresh, CLIENTS)
    problems = [error for error in found.values() if isinstance(error, PackageError)]
    if len(problems) == len(found):
        raise UserError(
            f"none of the {len(found)} packages could be had ({problems[0]}).",
            "Correct the names, or the configuration of pip, npm or apt.",
        )
    limits, licence = limits_of(source, keep_bytes), normalise_given(source.licence)
    # Two requests may come to the same: a binary and its source package, a range and a version.
    packages = {
        (request.ecosystem, got.name, got.version): got
        for request, got in found.items()
        if isinstance(got, Resolved)
    }
    versions = Counter((ecosystem, name) for ecosystem, name, _ in packages)
    listed: list[Package | MissingPackage] = [
        Package(
            f"{ecosystem}:{name}{f'@{version}' if versions[ecosystem, name] > 1 else ''}",
            version,
            ecosystem,
            tuple(Location(store.uri, store.path(file.path), file.bytes, 0) for file in got.files),
            limits,
            licence,
        )
        for (ecosystem, name, version), got in packages.items()
    ]
    taken = {package.name for package in listed}
    for request, got in found.items():
        if isinstance(got, PackageError):
            name = f"{request} (missing)" if str(request) in taken else str(request)
            listed.append(MissingPackage(name, str(got)))
    return listed


def requested(source: PackageSource) -> list[Request]:
    """What ``source`` asks for. Raises ``UserError`` for what is no name of a package."""
    texts = list(source.names)
    if source.names_from is not None:
        try:
            lines = Path(source.names_from).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"names_from {source.names_from} cannot be read ({error}).", "Correct the path."
            ) from None
        texts += [name for line in lines if (name := line.partition("#")[0].strip())]
    if not texts:
        raise UserError(f"names_from {source.names_from} is empty.", "Give a name in each line.")
    return [_request(text, CLIENTS) for text in texts]


def _request(text: str, clients: dict[str, Client]) -> Request:
    ecosystem, _, name = text.partition(":")
    examples = ", ".join(client.example for client in clients.values())
    if ecosystem not in clients or not clients[ecosystem].request.fullmatch(name):
        raise UserError(
            f"{text!r} is not the name of a package.",
            f"Write {examples}; paths, URLs and extras are not read here.",
        )
    return Request(ecosystem, name)
