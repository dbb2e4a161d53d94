"""The ingest step: lists repositories on the driver, reads them on workers bundle by bundle, and
puts the partitions together from what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from treespan.jobs.ingest.archive import list_archives
from treespan.jobs.ingest.assemble import assemble_partition
from treespan.jobs.ingest.bundles import Piece, cut_bundles, pieces_of
from treespan.jobs.ingest.config import (
    ArchiveSource,
    DirectorySource,
    GitSource,
    IngestConfig,
    PackageSource,
    PythonEnvironmentSource,
    Source,
    TableSource,
)
from treespan.jobs.ingest.directory import is_uri, list_directory
from treespan.jobs.ingest.git import list_git
from treespan.jobs.ingest.metadata import Described, metadata_states, read_metadata
from treespan.jobs.ingest.package import list_packages
from treespan.jobs.ingest.python_environment import list_python_environment
from treespan.jobs.ingest.read import STEP
from treespan.jobs.ingest.read_bundle import read_bundle
from treespan.jobs.ingest.remote_directory import list_remote_directory
from treespan.jobs.ingest.repository import Repository
from treespan.jobs.ingest.table import list_table
from treespan.platform.errors import UserError
from treespan.platform.ledger import merge_accounts
from treespan.platform.partitions import Receipt, files_of, map_parts
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import Store


def make_step(config: IngestConfig) -> Step:
    """Sources to ``files/part-*.arrow`` (``FILES``) and ``ledger/part-*.arrow`` (``LEDGER``)."""
    # Once for the key and the run: what is keyed is what is read, and no client is asked twice.
    listed = cache(partial(list_repositories, config))
    return Step(
        name=STEP,
        version=2,
        params=config.to_dict(),
        run=partial(run, config, listed),
        fingerprint=lambda store: states(listed(store), config),
    )


def fingerprint(config: IngestConfig, store: Store | None = None) -> list[list[Any]]:
    """The state of every repository: it changes when a source does. Raises ``UserError``."""
    return states(list_repositories(config, store), config)


def states(repositories: Sequence[Repository], config: IngestConfig) -> list[list[Any]]:
    """Name, kind of source and state of each, and the state of what is known beside them."""
    listed = [[found.name, found.source, found.state()] for found in repositories]
    return listed + metadata_states(config.metadata)


def list_repositories(config: IngestConfig, store: Store | None = None) -> list[Repository]:
    """All repositories of all sources, sorted by name; packages are fetched into ``store``.

    Raises ``UserError`` if two share a name.
    """
    found: dict[str, Repository] = {}
    for source in config.sources:
        for repository in _list(source, config, store):
            other = found.setdefault(repository.name, repository)
            if other is not repository:
                raise UserError(
                    f"two sources give a repository {repository.name!r}: {other.origin} and "
                    f"{repository.origin}.",
                    "Name one of them with 'repo:', or leave one out.",
                )
    return [found[name] for name in sorted(found)]


def _list(source: Source, config: IngestConfig, store: Store | None) -> Sequence[Repository]:
    match source:
        case DirectorySource() if is_uri(source.path):
            return list_remote_directory(source)
        case DirectorySource():
            return list_directory(source)
        case GitSource():
            return list_git(source)
        case PythonEnvironmentSource():
            return list_python_environment(source)
        case ArchiveSource():
            return list_archives(source, config.max_file_bytes)
        case PackageSource():
            if store is None:
                raise ValueError("packages are fetched into a store: give one")
            return list_packages(source, store, config.max_file_bytes)
        case TableSource():
            return list_table(source, config.partitions, config.max_file_bytes)


def run(
    config: IngestConfig, listed: Callable[[Store], Sequence[Repository]], context: Context
) -> Result:
    """Read every repository.

    Counts: repositories, files, bytes, the account of what was not read or was edited, and of
    ``metadata`` the rows and what they matched.
    """
    store, folder, work = context.store, context.folder, context.work
    repositories = listed(store)
    known, matched = read_metadata(config.metadata, [found.name for found in repositories])
    bundles = [
        [Described(found, known[found.name]) if found.name in known else found for found in bundle]
        for bundle in cut_bundles(repositories, config.partitions)
    ]

    def read(bundle: int, repositories: Sequence[Repository]) -> Receipt:
        return read_bundle(store, work, bundle, repositories, config)

    def assemble(partition: int, pieces: Sequence[Piece]) -> Receipt:
        return assemble_partition(store, folder, work, partition, pieces)

    bundled = map_parts(context, "read", read, bundles)
    counts: dict[str, Any] = {
        name: sum(receipt.counts[name] for receipt in bundled)
        for name in ("repositories", "files", "bytes")
    }
    counts |= merge_accounts(receipt.counts for receipt in bundled)
    if config.metadata:
        counts["metadata"] = matched
    if not counts["files"]:
        raise UserError(
            f"no file could be read from the sources ({told(counts['funnel'])}).",
            "Correct the recipe's sources or raise max_file_bytes.",
        )
    batches = [receipt.counts["batches"] for receipt in bundled]
    pieces = pieces_of(bundles, batches, config.partitions)
    return Result(files_of(map_parts(context, "assemble", assemble, pieces)), counts)


def told(funnel: dict[str, dict[str, int]]) -> str:
    """A funnel in one line: ``binary 12, encoding 3``."""
    totals = sorted(((sum(by.values()), rule) for rule, by in funnel.items()), reverse=True)
    return ", ".join(f"{rule} {count}" for count, rule in totals) or "there was none"
