"""Packages in the store: each request is resolved and downloaded once, then read from there.

    packages/files/SHA256/NAME                    what a client has downloaded
    packages/locks/REFRESH/ECOSYSTEM/REQUEST.json what a request was resolved to; comes last

So workers need neither clients nor registries, a second run asks nobody, and a killed one goes on
with the packages that have no lock. What could not be had leaves none, and is tried again; a lock
whose files are gone counts for none.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from treespan.jobs.ingest.package_client import Client, Fetch, PackageError
from treespan.platform.store import Store

DOWNLOADS_AT_ONCE = 4
"""Kind to registries (ours); most of the time goes into starting the clients."""


@dataclass(frozen=True)
class CachedFile:
    """A file of a package in the store."""

    path: str
    bytes: int


@dataclass(frozen=True)
class Resolved:
    """What a request stands for."""

    name: str
    version: str
    files: tuple[CachedFile, ...]
    """Named by the hash of their content."""


@dataclass(frozen=True)
class Request:
    """A package as the recipe names it."""

    ecosystem: str
    text: str

    def __str__(self) -> str:
        return f"{self.ecosystem}:{self.text}"


def resolve(
    requests: Iterable[Request], store: Store, refresh: str, clients: Mapping[str, Client]
) -> dict[Request, Resolved | PackageError]:
    """What each request stands for, downloaded first where the store lacks it.

    Raises ``UserError`` if a client that is needed is not installed.
    """
    cache = _Cache(store, refresh)
    ordered = list(dict.fromkeys(requests))
    with (
        TemporaryDirectory(prefix="treespan-packages-") as work,
        ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as threads,
    ):
        found: dict[Request, Resolved | PackageError] = {}
        missing: dict[str, list[Request]] = defaultdict(list)
        for request, known in zip(ordered, threads.map(cache.read, ordered), strict=True):
            if known is None:
                missing[request.ecosystem].append(request)
            else:
                found[request] = known
        for ecosystem, wanted in missing.items():
            folder = Path(work) / ecosystem
            folder.mkdir()
            try:
                fetch = clients[ecosystem].prepare(folder)
            except PackageError as error:
                found |= dict.fromkeys(wanted, error)
                continue
            found |= zip(wanted, threads.map(partial(cache.fill, fetch), wanted), strict=True)
    return {request: found[request] for request in ordered}


@dataclass(frozen=True)
class _Cache:
    store: Store
    refresh: str

    def read(self, request: Request) -> Resolved | None:
        """What the lock of ``request`` says, if there is one and its files are there."""
        path = self._lock(request)
        if not self.store.exists(path):
            return None
        values = self.store.read_json(path)
        files = tuple(CachedFile(**file) for file in values["files"])
        if not all(self.store.exists(file.path) for file in files):
            return None
        return Resolved(values["name"], values["version"], files)

    def fill(self, fetch: Fetch, request: Request) -> Resolved | PackageError:
        """Download ``request`` into the store and lock it."""
        with TemporaryDirectory(prefix="treespan-package-") as folder:
            try:
                fetched = fetch(request.text, Path(folder))
            except PackageError as error:
                return error
            except (ValueError, LookupError, TypeError) as error:
                return PackageError(f"the client's answer cannot be read ({error})")
            files = tuple(self._keep(path) for path in fetched.files)
        resolved = Resolved(fetched.name, fetched.version, files)
        self.store.write_json(self._lock(request), {"request": str(request), **asdict(resolved)})
        return resolved

    def _keep(self, file: Path) -> CachedFile:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        path = f"packages/files/{digest}/{file.name}"
        if not self.store.exists(path):
            self.store.copy_in(path, file)
        return CachedFile(path, file.stat().st_size)

    def _lock(self, request: Request) -> str:
        text = quote(request.text, safe="@=+~")
        return f"packages/locks/{self.refresh}/{request.ecosystem}/{text}.json"
