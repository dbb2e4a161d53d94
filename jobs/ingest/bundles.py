"""Bundles of repositories: what is read at a time, and what a killed run need not read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treespan.jobs.ingest.repository import Repository
from treespan.jobs.ingest.table import TableRepository
from treespan.platform.draws import partition_of

MAX_BUNDLES = 4096
"""Each has two scratch tables and a receipt (ours); with more repositories some share a bundle."""


@dataclass(frozen=True)
class Piece:
    """Where one repository lies in the scratch tables of its bundle, in record batches."""

    bundle: int
    first_of_files: int
    files: int
    first_of_ledger: int
    ledger: int


def cut_bundles(
    repositories: Sequence[Repository], partitions: int, most: int = MAX_BUNDLES
) -> list[list[Repository]]:
    """All ``repositories`` in at most ``most`` bundles, or in as many as they have windows.

    A bundle is one repository, or those of one window of a table, which are loaded together; in the
    order of names. Where these are too many, neighbours in (partition, name) go together, so that a
    partition is put together from few files.
    """
    ordered = sorted(
        repositories,
        key=lambda repository: (partition_of(repository.name, partitions), repository.name),
    )
    together: dict[int, list[Repository]] = {}
    for repository in ordered:
        shared = repository.window if isinstance(repository, TableRepository) else repository
        together.setdefault(id(shared), []).append(repository)
    groups = list(together.values())
    each = -(-len(groups) // most)
    return [
        [repository for group in groups[start : start + each] for repository in group]
        for start in range(0, len(groups), max(each, 1))
    ]


def pieces_of(
    bundles: Sequence[Sequence[Repository]],
    batches: Sequence[Sequence[tuple[int, int]]],
    partitions: int,
) -> list[list[Piece]]:
    """Of every partition, the pieces of its repositories in the order of names.

    ``batches`` has for each repository of each bundle how many record batches of files and of
    decisions it gave.
    """
    found: list[list[tuple[str, Piece]]] = [[] for _ in range(partitions)]
    for number, (bundle, counts) in enumerate(zip(bundles, batches, strict=True)):
        first_of_files = first_of_ledger = 0
        for repository, (files, ledger) in zip(bundle, counts, strict=True):
            piece = Piece(number, first_of_files, files, first_of_ledger, ledger)
            found[partition_of(repository.name, partitions)].append((repository.name, piece))
            first_of_files += files
            first_of_ledger += ledger
    return [[piece for _, piece in sorted(some, key=lambda item: item[0])] for some in found]
