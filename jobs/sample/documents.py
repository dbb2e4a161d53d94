"""From the files of one repository to ordered documents: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from treespan.jobs.sample.remaining import Remaining
from treespan.jobs.sample.repository import Repository
from treespan.jobs.sample.strategies import Strategy
from treespan.platform.errors import UserError


@dataclass(frozen=True)
class Placed:
    """A file (by its index) and the strategy that put it where it is."""

    index: int
    strategy: str


@dataclass(frozen=True)
class Mix:
    """Strategies by name, their weights, and how many files one draw asks for."""

    strategies: Mapping[str, Strategy]
    weights: Sequence[float]
    max_block_files: int


def order_files(
    repository: Repository, chosen: Iterable[int], mix: Mix, rng: Random
) -> list[Placed]:
    """Every file of ``chosen`` once, in the order in which the strategies chose them.

    Raises ``UserError`` for a strategy that chose none, or one twice, or one that was not left.
    """
    left = Remaining(len(repository.files), chosen)
    names = list(mix.strategies)
    ordered: list[Placed] = []
    while left:
        name = rng.choices(names, mix.weights)[0]
        block = mix.strategies[name](repository, left, rng, mix.max_block_files)
        for index in block:
            if index not in left:
                raise UserError(
                    f"the strategy {name!r} chose a file twice, or one that was not left.",
                    "Choose from the remaining files that it is given.",
                )
            left.remove(index)
            ordered.append(Placed(index, name))
        if not block:
            raise UserError(
                f"the strategy {name!r} chose no file.", "Return one of the remaining files."
            )
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
