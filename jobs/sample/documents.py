"""From the files of one repository to ordered documents: a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.strategies import STRATEGIES, Repository
from treespan.platform.draws import generator, hash64


@dataclass(frozen=True)
class Placed:
    """A file (by its index) and the strategy that put it where it is."""

    index: int
    strategy: str


def order_files(repo: str, files: Sequence[SourceFile], config: SampleConfig) -> list[Placed]:
    """Every file of ``files`` once, in the order in which the strategies chose them."""
    rng = generator(config.seed, "sample", repo)
    repository = Repository(files, hash64(config.seed, "clusters", repo))
    names = list(STRATEGIES)
    weights = [getattr(config.strategies, name) for name in names]
    remaining = list(range(len(files)))
    ordered: list[Placed] = []
    while remaining:
        name = rng.choices(names, weights)[0]
        block = STRATEGIES[name](repository, remaining, rng)[: config.max_block_files]
        taken = set(block)
        remaining = [index for index in remaining if index not in taken]
        ordered += [Placed(index, name) for index in block]
    return ordered


def cut_documents(
    ordered: Sequence[Placed], sizes: Sequence[int], max_document_bytes: int
) -> Iterator[list[Placed]]:
    """``ordered`` cut between files into documents of at most ``max_document_bytes``.

    A file larger than that is a document of its own.
    """
    document: list[Placed] = []
    filled = 0
    for placed in ordered:
        size = sizes[placed.index]
        if document and filled + size > max_document_bytes:
            yield document
            document, filled = [], 0
        document.append(placed)
        filled += size
    if document:
        yield document
