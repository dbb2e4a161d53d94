"""Second pass over a partition: leave out whole repositories and duplicates, check syntax, write
files, their index and the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.index import write_index
from treespan.jobs.curate.parse_guard import ParseGuard, check_syntax
from treespan.jobs.curate.repositories import GATES, Gone, read_gone
from treespan.jobs.curate.scratch import ROW_MASK
from treespan.jobs.curate.screen import STEP, decide_by
from treespan.platform.ledger import Decision, account_of, decide
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import FILES, LEDGER, batches, part_name
from treespan.platform.store import Store


class Publish:
    """Goes through one partition and keeps count of it."""

    def __init__(
        self,
        keys: dict[int, dict[str, Any]],
        drops: dict[int, dict[str, Any]],
        gone: Mapping[str, Gone],
        guard: ParseGuard,
        config: CurateConfig,
    ) -> None:
        self.decisions: list[Decision] = []
        self.kept: list[tuple[str, int]] = []
        """Language and bytes of every file that stays."""
        self.repositories: set[str] = set()
        self._keys = keys
        self._drops = drops
        self._gone = gone
        self._guard = guard
        self._config = config
        self._next_row = 0

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the next batch of ``FILES`` that stay, with their language."""
        contents = batch["content"].cast(pa.large_binary())
        kept: list[int] = []
        languages: list[str] = []
        for index in range(batch.num_rows):
            key = self._keys.get(self._next_row + index)
            if key is None or not self._stays(key, contents[index]):
                continue
            kept.append(index)
            languages.append(key["language"])
            self.repositories.add(key["repo"])
            self.kept.append((key["language"], key["size"]))
        self._next_row += batch.num_rows
        chosen = batch.take(pa.array(kept, type=pa.int64()))
        columns = {name: chosen[name] for name in FILES.names}
        columns["language"] = pa.array(languages, type=pa.string())
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=FILES)

    def _stays(self, key: dict[str, Any], content: pa.Scalar) -> bool:
        gone = self._gone.get(key["repo"])
        if gone is not None:
            self.decisions.append(decide_gone(gone, key))
            return False
        drop = self._drops.get(key["ref"] & ROW_MASK)
        if drop is not None:
            self.decisions.append(_decide_duplicate(key, drop, self._config))
            return False
        verdict = check_syntax(self._guard, key["language"], content.as_py(), self._config.syntax)
        if verdict is not None:
            self.decisions.append(decide_by(verdict, key))
        return verdict is None


def publish_partition(
    store: Store, files: str, folder: str, work: str, partition: int, config: CurateConfig
) -> Receipt:
    """Write what stays of the table ``files`` of ingest, and the ledger of all that does not."""
    part = part_name(partition)
    keys = {
        row["ref"] & ROW_MASK: row for row in store.read_table(f"{work}/keys/{part}").to_pylist()
    }
    drops = {row["row"]: row for row in store.read_table(f"{work}/drops/{part}").to_pylist()}
    gone = read_gone(store, work, partition)
    with ParseGuard(config.syntax.timeout_s) as guard:
        publish = Publish(keys, drops, gone, guard, config)

        def kept_batches() -> Iterator[pa.RecordBatch]:
            with store.open_table(files) as reader:
                for index in range(reader.num_record_batches):
                    batch = publish.batch(reader.get_batch(index))
                    if batch.num_rows:
                        yield batch

        written = store.write_table(f"{folder}/files/{part}", FILES, kept_batches())
    entries = [written]
    if config.index:
        entries.append(write_index(store, written.path, f"{folder}/index/{part}"))
    screened = [
        gone_first(row, gone) for row in store.read_table(f"{work}/ledger/{part}").to_pylist()
    ]
    decisions = sorted([*screened, *publish.decisions], key=lambda row: (row["repo"], row["path"]))
    ledger = store.write_table(f"{folder}/ledger/{part}", LEDGER, batches(LEDGER, decisions))
    counts = {
        "files": written.rows,
        "bytes": sum(size for _, size in publish.kept),
        "repositories": len(publish.repositories),
        **account_of(decisions, publish.kept),
    }
    return Receipt([*entries, ledger], counts)


def gone_first(decision: Decision, gone: Mapping[str, Gone]) -> Decision:
    """``decision``, or that on the whole repository where it comes before the rule on the file."""
    repository = gone.get(decision["repo"])
    if repository is None or decision["rule"] in GATES:
        return decision
    return decide_gone(repository, decision)


def decide_gone(gone: Gone, file: Mapping[str, Any]) -> Decision:
    """The ledger row of a file that goes with its repository."""
    return decide(
        file,
        step=STEP,
        rule=gone.rule,
        value=gone.value,
        threshold=gone.threshold,
        detail=gone.detail,
        similarity=gone.similarity,
    )


def _decide_duplicate(key: dict[str, Any], drop: dict[str, Any], config: CurateConfig) -> Decision:
    near = drop["rule"] == "near-duplicate"
    return decide(
        key,
        step=STEP,
        rule=drop["rule"],
        value=drop["similarity"],
        threshold=config.near_dedup.threshold if near else 1.0,
        matched_id=drop["matched_id"],
        similarity=drop["similarity"],
    )
