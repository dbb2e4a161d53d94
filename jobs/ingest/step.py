"""The ingest step: lists repositories on the driver, reads them on workers, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from treespan.jobs.ingest.archive import list_archives
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
from treespan.jobs.ingest.metadata import Described, metadata_states, read_metadata
from treespan.jobs.ingest.python_environment import list_python_environment
from treespan.jobs.ingest.read import STEP, batches_by_bytes, read_repository
from treespan.jobs.ingest.repository import Repository
from treespan.jobs.ingest.table import list_table
from treespan.platform.draws import partition_of
from treespan.platform.errors import UserError
from treespan.platform.ledger import Decision, funnel_of, merge_funnels
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import FILES, LEDGER, batches, part_name
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import Store


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
    listed = [[found.name, found.source, found.state()] for found in list_repositories(config)]
    return listed + metadata_states(config.metadata)


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
    """Read every repository.

    Counts: repositories, files, bytes, the funnel of what was not read, and of ``metadata`` the rows
    and what they matched.
    """
    assigned: list[list[Repository]] = [[] for _ in range(config.partitions)]
    repositories = list_repositories(config)
    known, matched = read_metadata(config.metadata, [found.name for found in repositories])
    for found in repositories:
        described = Described(found, known[found.name]) if found.name in known else found
        assigned[partition_of(found.name, config.partitions)].append(described)
    store, folder = context.store, context.folder

    def ingest(partition: int) -> Receipt:
        return ingest_partition(store, folder, partition, assigned[partition], config)

    receipts = map_partitions(context, STEP, ingest, config.partitions)
    counts: dict[str, Any] = {
        name: sum(receipt.counts[name] for receipt in receipts)
        for name in ("repositories", "files", "bytes")
    }
    counts["funnel"] = merge_funnels(receipt.counts["funnel"] for receipt in receipts)
    if config.metadata:
        counts["metadata"] = matched
    if not counts["files"]:
        raise UserError(
            f"no file could be read from the sources ({told(counts['funnel'])}).",
            "Correct the recipe's sources or raise max_file_bytes.",
        )
    return Result(files_of(receipts), counts)


def ingest_partition(
    store: Store,
    folder: str,
    partition: int,
    repositories: Sequence[Repository],
    config: IngestConfig,
) -> Receipt:
    """Stream the files of ``repositories`` (sorted by name) into one part of the tables."""
    decisions: list[Decision] = []
    with_files: set[str] = set()
    bytes_read = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal bytes_read
        for repository in repositories:
            for row in read_repository(repository, config, decisions):
                with_files.add(repository.name)
                bytes_read += row["size"]
                yield row

    part = part_name(partition)
    files = store.write_table(f"{folder}/files/{part}", FILES, batches_by_bytes(FILES, rows()))
    ledger = store.write_table(f"{folder}/ledger/{part}", LEDGER, batches(LEDGER, decisions))
    counts = {
        "repositories": len(with_files),
        "files": files.rows,
        "bytes": bytes_read,
        "funnel": funnel_of(decisions),
    }
    return Receipt([files, ledger], counts)


def told(funnel: dict[str, dict[str, int]]) -> str:
    """A funnel in one line: ``binary 12, encoding 3``."""
    totals = sorted(((sum(by.values()), rule) for rule, by in funnel.items()), reverse=True)
    return ", ".join(f"{rule} {count}" for count, rule in totals) or "there was none"
