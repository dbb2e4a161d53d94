"""Second pass over a partition: leave out whole repositories and duplicates, check syntax, write
files, their index and the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.duplicates import read_decided
from treespan.jobs.curate.index import write_index
from treespan.jobs.curate.parse_guard import ParseGuard, check_syntax
from treespan.jobs.curate.repositories import GATES, Gone, read_gone
from treespan.jobs.curate.scratch import ROW_MASK
from treespan.jobs.curate.screen import STEP, decide_by
from treespan.platform.ledger import Decision, account_of, decide
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import FILES, LEDGER, part_name
from treespan.platform.store import Store


class Publish:
    """Goes through one partition and keeps count of it."""

    def __init__(
        self,
        keys: pa.Table,
        drops: Mapping[int, dict[str, Any]],
        gone: Mapping[str, Gone],
        guard: ParseGuard,
        config: CurateConfig,
    ) -> None:
        self.ledger: list[pa.RecordBatch] = []
        self.kept: list[tuple[str, int]] = []
        """Language and bytes of every file that stays."""
        self.repositories: set[str] = set()
        self._keys = keys
        self._rows = keys["ref"].to_numpy() & np.uint64(ROW_MASK)
        self._drops = drops
        self._gone = gone
        self._guard = guard
        self._config = config
        self._next_row = 0

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the next batch of ``FILES`` that stay, with their language."""
        contents = batch["content"].cast(pa.large_binary())
        begin = self._next_row
        self._next_row += batch.num_rows
        start, end = np.searchsorted(self._rows, [begin, self._next_row])
        decisions: list[Decision] = []
        kept: list[int] = []
        languages: list[str] = []
        for key in self._keys.slice(start, end - start).to_pylist():
            index = (key["ref"] & ROW_MASK) - begin
            decision = self._decide(key, contents[index])
            if decision is not None:
                decisions.append(decision)
                continue
            kept.append(index)
            languages.append(key["language"])
            self.repositories.add(key["repo"])
            self.kept.append((key["language"], key["size"]))
        self.ledger.append(pa.RecordBatch.from_pylist(decisions, schema=LEDGER))
        chosen = batch.take(pa.array(kept, type=pa.int64()))
        columns = {name: chosen[name] for name in FILES.names}
        columns["language"] = pa.array(languages, type=pa.string())
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=FILES)

    def _decide(self, key: dict[str, Any], content: pa.Scalar) -> Decision | None:
        """Why the file goes; None if it stays."""
        gone = self._gone.get(key["repo"])
        if gone is not None:
            return decide_gone(gone, key)
        drop = self._drops.get(key["ref"])
        if drop is not None:
            return _decide_duplicate(key, drop, self._config)
        verdict = check_syntax(self._guard, key["language"], content.as_py(), self._config.syntax)
        return None if verdict is None else decide_by(verdict, key)


def publish_partition(
    store: Store,
    files: str,
    folder: str,
    work: str,
    partition: int,
    decided: Sequence[str],
    config: CurateConfig,
) -> Receipt:
    """Write what stays of the table ``files`` of ingest, and the ledger of all that does not.

    ``decided`` are the tables with the duplicates of all partitions.
    """
    part = part_name(partition)
    keys = store.read_table(f"{work}/keys/{part}")
    drops = read_decided(store, decided, partition)
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
    screened = gone_first(store.read_table(f"{work}/ledger/{part}"), gone)
    rows = pa.concat_tables([screened, pa.Table.from_batches(publish.ledger, LEDGER)])
    rows = rows.sort_by([("repo", "ascending"), ("path", "ascending")]).combine_chunks()
    in_order = rows.to_batches(max_chunksize=512)
    ledger = store.write_table(f"{folder}/ledger/{part}", LEDGER, in_order)
    decisions = (row for batch in in_order for row in batch.to_pylist())
    counts = {
        "files": written.rows,
        "bytes": sum(size for _, size in publish.kept),
        "repositories": len(publish.repositories),
        **account_of(decisions, publish.kept),
    }
    return Receipt([*entries, ledger], counts)


def gone_first(screened: pa.Table, gone: Mapping[str, Gone]) -> pa.Table:
    """The ledger of the first pass; of repositories that are gone, that is told in place of the
    rules on files that come after it.
    """
    concerned = pc.and_(
        pc.is_in(screened["repo"], value_set=pa.array(list(gone), pa.string())),
        pc.invert(pc.is_in(screened["rule"], value_set=pa.array(sorted(GATES)))),
    )
    some = [decide_gone(gone[row["repo"]], row) for row in screened.filter(concerned).to_pylist()]
    others = screened.filter(pc.invert(concerned))
    return pa.concat_tables([others, pa.Table.from_pylist(some, schema=LEDGER)])


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
        detail=drop["matched_known"],
        similarity=drop["similarity"],
    )
