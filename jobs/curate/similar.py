"""``treespan similar``: the files of a curated corpus that are most similar to a text.

All signatures are compared by estimate, which a scan of 1 kB per file can do; the best of them are
then measured exactly, on their texts. What is printed is the exact Jaccard similarity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.index import check_header, files_beside
from treespan.jobs.curate.shingles import shingles
from treespan.jobs.curate.signature import PERMUTATIONS, signature
from treespan.platform.errors import UserError
from treespan.platform.run_record import read_run
from treespan.platform.store import Store

MARGIN = 100
"""Candidates beyond the ``top`` that are measured. An estimate is off by 1/32 at most (standard
deviation), so only files that are about as similar could be missed."""


@dataclass(frozen=True)
class Match:
    """A file of the corpus and its similarity to the text that was asked for."""

    repo: str
    path: str
    file_id: str
    similarity: float
    estimate: float


@dataclass(frozen=True)
class Candidate:
    """A row of the index that looks similar: which batch of which part, and which row of it."""

    estimate: float
    part: str
    batch: int
    row: int
    file_id: str
    repo: str
    path: str

    @property
    def order(self) -> tuple[float, str, str]:
        """Best first; names settle ties."""
        return (-self.estimate, self.repo, self.path)


def find_similar(store: Store, text: bytes, top: int, run_name: str | None = None) -> list[Match]:
    """The ``top`` most similar files of the newest curated run, best first; none without overlap.

    Raises ``UserError`` if there is no index, or one that this version cannot read.
    """
    steps = read_run(store, run_name).steps
    parts = steps["curate"].files("index") if "curate" in steps else []
    if not parts:
        raise UserError(
            f"{store.uri} holds no index of signatures.",
            "Run a recipe up to its step curate, with curate.index: true.",
        )
    return search(store, parts, text, top)


def search(store: Store, parts: list[str], text: bytes, top: int) -> list[Match]:
    """Search the ``parts`` of an index."""
    wanted = shingles(text)
    if len(wanted) == 0:
        raise UserError("there are no words in the file.", "Give a file with some code in it.")
    asked = signature(wanted)
    best: list[Candidate] = []
    for part in parts:
        best += candidates_of(store, part, asked, top + MARGIN)
        best = sorted(best, key=lambda found: found.order)[: top + MARGIN]
    matches = [
        Match(found.repo, found.path, found.file_id, jaccard(wanted, text_shingles), found.estimate)
        for found, text_shingles in _read(store, best)
    ]
    matches = [match for match in matches if match.similarity > 0]
    return sorted(matches, key=lambda match: (-match.similarity, match.repo, match.path))[:top]


def candidates_of(
    store: Store, part: str, asked: NDArray[np.uint32], limit: int
) -> Iterator[Candidate]:
    """The ``limit`` rows of every batch of a part that agree with the signature ``asked`` best."""
    with store.open_table(part) as reader:
        check_header(reader.schema, part)
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            flat = batch["signature"].flatten().to_numpy()
            agreeing = (flat.reshape(-1, PERMUTATIONS) == asked).sum(axis=1)
            # Stable: of equal estimates the first rows, and so the same ones each time.
            rows = np.argsort(-agreeing, kind="stable")[:limit]
            rows = rows[agreeing[rows] > 0]
            names = batch.select(["file_id", "repo", "path"]).take(pa.array(rows)).to_pylist()
            for row, found in zip(rows.tolist(), names, strict=True):
                yield Candidate(int(agreeing[row]) / PERMUTATIONS, part, number, row, **found)


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Exact Jaccard similarity of two sets (sorted, without repeats); 0 if both are empty."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    union = len(one) + len(other) - common
    return common / union if union else 0.0


def _read(
    store: Store, candidates: list[Candidate]
) -> Iterator[tuple[Candidate, NDArray[np.uint64]]]:
    """Each candidate with the shingles of its text, from the part of files beside the index."""
    by_part: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        by_part.setdefault(candidate.part, []).append(candidate)
    for part, some in by_part.items():
        with store.open_table(files_beside(part)) as reader:
            for candidate in some:
                column = reader.get_batch(candidate.batch)["content"]
                content = column[candidate.row].cast(pa.large_binary()).as_py()
                yield candidate, shingles(content)
