"""The two passes over a partition: what its files share with benchmarks, and which of them stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.decontaminate.config import DecontaminateConfig
from treespan.jobs.decontaminate.index import Index, read_index
from treespan.jobs.decontaminate.scan import Hits, longest_run, scan
from treespan.platform.ledger import Decision, account_of, decide
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import FILES, LEDGER, batches, part_name
from treespan.platform.store import Store

STEP = "decontaminate"
NGRAM, NEAR = "benchmark-ngram", "benchmark-near"
"""The rules, in the order in which they are asked."""

HITS = pa.schema(
    [
        ("row", pa.uint32()),  # of the partition
        ("starts", pa.list_(pa.int64())),
        ("lengths", pa.list_(pa.int64())),
        ("runs", pa.list_(pa.int64())),
        ("near_item", pa.int64()),
        ("containment", pa.float64()),
    ]
)
"""One row is a file that shares something with a benchmark: ``Hits``."""

SPREAD = pa.schema([("run", pa.uint32()), ("repositories", pa.uint32())])
"""One row is a run of the index, and in how many repositories of the partition it was found."""


def scan_partition(
    store: Store, files: str, work: str, partition: int, config: DecontaminateConfig
) -> Receipt:
    """First pass: ``HITS`` and ``SPREAD`` of the table ``files``, below ``work``."""
    index = read_index(store.uri, f"{work}/index")
    of_repository: dict[str, set[int]] = {}
    totals: Counter[str] = Counter()

    def found() -> Iterator[dict[str, Any]]:
        for row, repo, content in _contents(store, files):
            totals["files"] += 1
            totals["bytes"] += len(content)
            runs = of_repository.setdefault(repo, set())
            hits = scan(content, index, config.near_containment)
            if hits:
                runs.update(hits.runs.tolist())
                yield {
                    "row": row,
                    "starts": hits.starts.tolist(),
                    "lengths": hits.lengths.tolist(),
                    "runs": hits.runs.tolist(),
                    "near_item": hits.near_item,
                    "containment": hits.containment,
                }

    part = part_name(partition)
    store.write_table(f"{work}/hits/{part}", HITS, batches(HITS, found()))
    spread = Counter(run for runs in of_repository.values() for run in runs)
    rows = ({"run": run, "repositories": spread[run]} for run in sorted(spread))
    store.write_table(f"{work}/spread/{part}", SPREAD, batches(SPREAD, rows))
    counts = {name: totals[name] for name in ("files", "bytes")}
    return Receipt([], {**counts, "repositories": len(of_repository)})


def publish_partition(
    store: Store, files: str, folder: str, work: str, partition: int, config: DecontaminateConfig
) -> Receipt:
    """Second pass: what stays of the table ``files``, and a ledger row for every file hit."""
    index = read_index(store.uri, f"{work}/index")
    common = np.zeros(len(index.runs.hashes), dtype=np.bool_)
    common[store.read_json(f"{work}/common.json")] = True
    part = part_name(partition)
    hits = {
        row.pop("row"): _hits(row) for row in store.read_table(f"{work}/hits/{part}").to_pylist()
    }
    publish = Publish(hits, common, index, config)

    def kept_batches() -> Iterator[pa.RecordBatch]:
        with store.open_table(files) as reader:
            for number in range(reader.num_record_batches):
                batch = publish.batch(reader.get_batch(number))
                if batch.num_rows:
                    yield batch

    written = store.write_table(f"{folder}/files/{part}", FILES, kept_batches())
    decisions = sorted(publish.decisions, key=lambda row: (row["repo"], row["path"]))
    ledger = store.write_table(f"{folder}/ledger/{part}", LEDGER, batches(LEDGER, decisions))
    counts = {
        "files": written.rows,
        "bytes": sum(size for _, size in publish.kept),
        "hits": dict(publish.hits),
        "spared": publish.spared,
        **account_of(decisions, publish.kept),
    }
    return Receipt([written, ledger], counts)


class Publish:
    """Goes through one partition and keeps count of it."""

    def __init__(
        self,
        hits: dict[int, Hits],
        common: NDArray[np.bool_],
        index: Index,
        config: DecontaminateConfig,
    ) -> None:
        self.decisions: list[Decision] = []
        self.kept: list[tuple[str, int]] = []
        """Language and bytes of every file that stays."""
        self.hits: Counter[str] = Counter()
        self.spared = 0
        """Files with common runs and nothing else of a benchmark."""
        self._found = hits
        self._common = common
        self._index = index
        self._config = config
        self._next_row = 0

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the next batch of ``FILES`` that stay, unchanged."""
        rows = batch.select(["file_id", "repo", "path", "language", "size"]).to_pylist()
        kept: list[int] = []
        for place, file in enumerate(rows):
            hits = self._found.get(self._next_row + place)
            decision = None if hits is None else self._judge(file, hits)
            if decision is not None:
                self.decisions.append(decision)
            if decision is None or decision["action"] == "keep":
                kept.append(place)
                self.kept.append((file["language"], file["size"]))
        self._next_row += batch.num_rows
        return batch if len(kept) == len(rows) else batch.take(pa.array(kept, type=pa.int64()))

    def _judge(self, file: dict[str, Any], hits: Hits) -> Decision | None:
        run = longest_run(hits, self._index, self._common)
        if run is not None:
            rule, item, value = NGRAM, run.item, float(run.words)
            # A whole text that is shorter than a run is held against its own length.
            threshold = float(min(run.words, self._config.ngram))
        elif hits.near_item >= 0:
            rule, item, value = NEAR, hits.near_item, hits.containment
            threshold = self._config.near_containment or 0.0
        else:
            self.spared += 1
            return None
        self.hits[f"{self._index.benchmarks[item]} {rule}"] += 1
        return decide(
            file,
            step=STEP,
            rule=rule,
            action="drop" if self._config.policy == "drop" else "keep",
            value=value,
            threshold=threshold,
            detail=self._index.names[item],
        )


def _contents(store: Store, files: str) -> Iterator[tuple[int, str, bytes]]:
    """Row, repository and content of every file of a table."""
    row = 0
    with store.open_table(files) as reader:
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            contents = batch["content"].cast(pa.large_binary())
            for place, repo in enumerate(batch["repo"].to_pylist()):
                yield row, repo, contents[place].as_py()
                row += 1


def _hits(row: dict[str, Any]) -> Hits:
    starts, lengths, runs = (
        np.array(row[name], dtype=np.int64) for name in ("starts", "lengths", "runs")
    )
    return Hits(starts, lengths, runs, row["near_item"], row["containment"])
