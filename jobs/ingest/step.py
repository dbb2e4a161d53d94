"""The ingest step: lists repositories on the driver, reads them on workers bundle by bundle, and
puts the partitions together from what was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from treespan.jobs.ingest.archive import list_archives
from treespan.jobs.ingest.assemble import assemble_partition
from treespan.jobs.ingest.bundles import Piece, cut_bundles, pieces_of
from treespan.jobs.ingest.config import (
    ArchiveSource,
    DirectorySource,
    GitSource,
    IngestConfig,
    PythonEnvironmentSource,
    Source,
    TableSource,
)
from treespan.jobs.ingest.directory import list_directory
from treespan.jobs.ingest.git import list_git
from treespan.jobs.ingest.python_environment import list_python_environment
from treespan.jobs.ingest.read import STEP
from treespan.jobs.ingest.read_bundle import read_bundle
from treespan.jobs.ingest.repository import Repository
from treespan.jobs.ingest.table import list_table
from treespan.platform.errors import UserError
from treespan.platform.ledger import merge_funnels
from treespan.platform.partitions import Receipt, files_of, map_parts
from treespan.platform.steps import Context, Result, Step


def make_step(config: IngestConfig) -> Step:
    """Sources to ``files/part-*.arrow`` (``FILES``) and ``ledger/part-*.arrow`` (``LEDGER``)."""
    return Step(
        name=STEP,
        version=2,
        params=config.to_dict(),
        run=partial(run, config),
        fingerprint=partial(fingerprint, config),
    )


def fingerprint(config: IngestConfig) -> list[list[Any]]:
    """The state of every repository: it changes when a source does. Raises ``UserError``."""
    return [[found.name, found.source, found.state()] for found in list_repositories(config)]


def list_repositories(config: IngestConfig) -> list[Repository]:
    """All repositories of all sources, sorted by name. Raises ``UserError`` if two share one."""
    found: dict[str, Repository] = {}
    for source in config.sources:
        for repository in _list(source, config):
            other = found.setdefault(repository.name, repository)
            if other is not repository:
                raise UserError(
                    f"two sources give a repository {repository.name!r}: {other.origin} and "
                    f"{repository.origin}.",
                    "Name one of them with 'repo:', or leave one out.",
                )
    return [found[name] for name in sorted(found)]


def _list(source: Source, config: IngestConfig) -> Sequence[Repository]:
    match source:
        case DirectorySource():
            return list_directory(source)
        case GitSource():
            return list_git(source)
        case PythonEnvironmentSource():
            return list_python_environment(source)
        case ArchiveSource():
            return list_archives(source, config.max_file_bytes)
        case TableSource():
            return list_table(source, config.partitions, config.max_file_bytes)


def run(config: IngestConfig, context: Context) -> Result:
    """Read every repository; counts: repositories, files, bytes and the funnel of what was not."""
    store, folder, work = context.store, context.folder, context.work
    bundles = cut_bundles(list_repositories(config), config.partitions)

    def read(bundle: int, repositories: Sequence[Repository]) -> Receipt:
        return read_bundle(store, work, bundle, repositories, config)

    def assemble(partition: int, pieces: Sequence[Piece]) -> Receipt:
        return assemble_partition(store, folder, work, partition, pieces)

    bundled = map_parts(context, "read", read, bundles)
    counts: dict[str, Any] = {
        name: sum(receipt.counts[name] for receipt in bundled)
        for name in ("repositories", "files", "bytes")
    }
    counts["funnel"] = merge_funnels(receipt.counts["funnel"] for receipt in bundled)
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
