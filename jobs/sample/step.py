"""The sampling step on Ray Data: partition by partition, each with whole repositories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.documents import cut_documents, order_files
from treespan.jobs.sample.holdout import Holdout, choose_holdout
from treespan.platform.draws import hash64
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import DOCUMENTS, batches, part_name
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import Store


def make_step(config: SampleConfig, files_from: str = "curate") -> Step:
    """``documents/`` (what to train on, in order) and ``heldout/`` (the files kept apart).

    ``files_from`` names the step that has the files.
    """
    return Step(
        name="sample",
        version=1,
        params=config.to_dict(),
        inputs=(files_from,),
        run=lambda context: _run(context, config, files_from),
    )


def _run(context: Context, config: SampleConfig, files_from: str) -> Result:
    store, folder = context.store, context.folder
    parts = context.inputs[files_from].files("files")
    repos: set[str] = set()
    for part in parts:
        repos.update(pc.unique(store.read_table(part, ["repo"])["repo"]).to_pylist())
    holdout = choose_holdout(config.seed, config.heldout_share, repos)

    def sample(partition: int) -> Receipt:
        return _sample_partition(store, folder, parts[partition], partition, config, holdout)

    receipts = map_partitions(context, "sample", sample, len(parts))
    totals: Counter[str] = Counter()
    strategies: Counter[str] = Counter()
    for receipt in receipts:
        totals.update(receipt.counts["totals"])
        strategies.update(receipt.counts["strategies"])
    counts = {
        "repositories": len(repos),
        "heldout_repositories": sum(holdout.holds(repo) for repo in repos),
        **{name: totals[name] for name in ("documents", "files", "bytes", "heldout_files")},
        "files_by_strategy": dict(sorted(strategies.items())),
    }
    return Result(files_of(receipts), counts)


def _sample_partition(
    store: Store, folder: str, part: str, partition: int, config: SampleConfig, holdout: Holdout
) -> Receipt:
    table = store.read_table(part)
    kept: list[dict[str, Any]] = []
    heldout: list[dict[str, Any]] = []
    for repo in sorted(pc.unique(table["repo"]).to_pylist()):
        rows = table.filter(pc.equal(table["repo"], repo)).sort_by("path")
        if holdout.holds(repo):
            heldout.append(_document(repo, rows, [(i, "heldout") for i in range(rows.num_rows)]))
        else:
            kept += _documents(repo, rows, config)
    # Documents of different repositories are mixed; the files within one stay together.
    kept.sort(key=lambda document: hash64(config.seed, "documents", document["document_id"]))
    name = part_name(partition)
    files = [
        store.write_table(f"{folder}/documents/{name}", DOCUMENTS, batches(DOCUMENTS, kept)),
        store.write_table(f"{folder}/heldout/{name}", DOCUMENTS, batches(DOCUMENTS, heldout)),
    ]
    totals = {
        "documents": len(kept),
        "files": sum(len(document["file_ids"]) for document in kept),
        "bytes": sum(document["bytes"] for document in kept),
        "heldout_files": sum(len(document["file_ids"]) for document in heldout),
    }
    strategies = Counter(name for document in kept for name in document["strategies"])
    return Receipt(files, {"totals": totals, "strategies": dict(strategies)})


def _documents(repo: str, rows: pa.Table, config: SampleConfig) -> Iterator[dict[str, Any]]:
    files = [
        SourceFile(row["path"], row["language"], row["content"])
        for row in rows.select(["path", "language", "content"]).to_pylist()
    ]
    ordered = order_files(repo, files, config)
    sizes = rows["size"].to_pylist()
    for document in cut_documents(ordered, sizes, config.max_document_bytes):
        yield _document(repo, rows, [(placed.index, placed.strategy) for placed in document])


def _document(repo: str, rows: pa.Table, placed: list[tuple[int, str]]) -> dict[str, Any]:
    chosen = rows.select(["file_id", "language", "size"]).take([index for index, _ in placed])
    file_ids = chosen["file_id"].to_pylist()
    return {
        "document_id": f"{hash64('document', repo, *file_ids):016x}",
        "repo": repo,
        "file_ids": file_ids,
        "strategies": [strategy for _, strategy in placed],
        "languages": chosen["language"].to_pylist(),
        "bytes": pc.sum(chosen["size"]).as_py() or 0,
    }
