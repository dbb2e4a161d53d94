"""One partition of files and edges to its documents: a pure function on tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.documents import Mix, Placed, cut_documents, order_files
from treespan.jobs.sample.holdout import Holdout
from treespan.jobs.sample.repository import Edge, Repository, tree_order
from treespan.jobs.sample.selection import copies_of
from treespan.jobs.sample.statistics import Sums, add_sums, measure
from treespan.platform.draws import generator, hash64
from treespan.platform.ledger import Decision, Funnel, account_of

RANDOM_ORDER = "random order"
"""What the statistics are held against: the same files in one shuffle, cut in the same way."""

Row = dict[str, Any]


@dataclass
class Sampled:
    """What became of a partition."""

    documents: list[Row] = field(default_factory=list)
    heldout: list[Row] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    given_bytes: Counter[str] = field(default_factory=Counter)
    """By language, of the repositories that are not held out."""
    bytes: Counter[str] = field(default_factory=Counter)
    """By language, as often as they are read."""
    sums: Sums = field(default_factory=dict)
    random_sums: Sums = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """As JSON types; those of several partitions add up."""
        placed = [name for document in self.documents for name in document["strategies"]]
        return {
            "totals": {
                "documents": len(self.documents),
                "files": len(placed),
                "bytes": self.bytes.total(),
                "heldout_files": sum(len(document["file_ids"]) for document in self.heldout),
            },
            "strategies": dict(Counter(placed)),
            "given_bytes": dict(self.given_bytes),
            "bytes_by_language": dict(self.bytes),
            "left_out": self._left_out(),
            "sums": self.sums,
            "random_sums": self.random_sums,
        }

    def _left_out(self) -> Funnel:
        return account_of(self.decisions)["funnel"]


def sample_partition(
    files: pa.Table, edges: pa.Table, config: SampleConfig, mix: Mix, holdout: Holdout
) -> Sampled:
    """The documents of a partition, from its tables of the schemas ``FILES`` and ``EDGES``.

    Both may lack columns that are not read here. Text is decoded for one repository at a time.
    """
    by_repo: dict[str, list[Row]] = {}
    named = files.select(["file_id", "repo", "path", "language", "size"]).to_pylist()
    for number, row in enumerate(named):
        by_repo.setdefault(row["repo"], []).append({**row, "number": number})
    edges_of = _edges_by_repo(edges, config.min_edge_weight)
    content = files["content"]
    sampled = Sampled()
    for repo, rows in sorted(by_repo.items()):
        rows.sort(key=lambda row: tree_order(row["path"]))
        if holdout.holds(repo):
            order = [Placed(index, "heldout") for index in range(len(rows))]
            sampled.heldout.append(_document(repo, 0, rows, order))
            continue
        copies, decisions = copies_of(rows, config)
        sampled.decisions += decisions
        for row in rows:
            sampled.given_bytes[row["language"]] += row["size"]
        rows = [row for row, count in zip(rows, copies, strict=True) if count]
        repository = Repository(
            [SourceFile(r["path"], r["language"], content[r["number"]].as_py()) for r in rows],
            list(_indexed(rows, edges_of.get(repo, ()))),
            hash64(config.seed, "clusters", repo),
        )
        _sample_repository(
            sampled, repo, rows, repository, [count for count in copies if count], config, mix
        )
    # Documents of different repositories are mixed; the files within one stay together.
    sampled.documents.sort(key=lambda row: hash64(config.seed, "documents", row["document_id"]))
    return sampled


def _sample_repository(
    sampled: Sampled,
    repo: str,
    rows: Sequence[Row],
    repository: Repository,
    copies: Sequence[int],
    config: SampleConfig,
    mix: Mix,
) -> None:
    sizes = [row["size"] for row in rows]
    for row, count in zip(rows, copies, strict=True):
        sampled.bytes[row["language"]] += count * row["size"]
    for copy in range(max(copies, default=0)):
        chosen = [index for index, count in enumerate(copies) if count > copy]
        rng = generator(config.seed, "sample", repo, copy)
        ordered = order_files(repository, chosen, mix, rng)
        documents = list(cut_documents(ordered, sizes, config.max_document_bytes))
        sampled.documents += [_document(repo, copy, rows, placed) for placed in documents]
        sampled.sums = add_sums((sampled.sums, measure(repository, documents)))
        generator(config.seed, RANDOM_ORDER, repo, copy).shuffle(chosen)
        shuffled = [Placed(index, RANDOM_ORDER) for index in chosen]
        documents = list(cut_documents(shuffled, sizes, config.max_document_bytes))
        sampled.random_sums = add_sums((sampled.random_sums, measure(repository, documents)))


def _document(repo: str, copy: int, rows: Sequence[Row], placed: Sequence[Placed]) -> Row:
    chosen = [rows[file.index] for file in placed]
    file_ids = [row["file_id"] for row in chosen]
    return {
        "document_id": f"{hash64('document', repo, copy, *file_ids):016x}",
        "repo": repo,
        "file_ids": file_ids,
        "copies": [copy] * len(chosen),
        "strategies": [file.strategy for file in placed],
        "languages": [row["language"] for row in chosen],
        "bytes": sum(row["size"] for row in chosen),
    }


def _edges_by_repo(edges: pa.Table, least: float) -> dict[str, list[tuple[str, str, float]]]:
    found: dict[str, list[tuple[str, str, float]]] = {}
    columns = (edges[name].to_pylist() for name in ("repo", "source_id", "target_id", "weight"))
    for repo, source, target, weight in zip(*columns, strict=True):
        if weight >= least:
            found.setdefault(repo, []).append((source, target, weight))
    return found


def _indexed(rows: Sequence[Row], edges: Sequence[tuple[str, str, float]]) -> Iterator[Edge]:
    """``edges`` between files of ``rows``, by their indices."""
    index_of = {row["file_id"]: index for index, row in enumerate(rows)}
    for source, target, weight in edges:
        if source in index_of and target in index_of:
            yield index_of[source], index_of[target], weight
