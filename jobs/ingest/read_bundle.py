"""First pass of ingest: a bundle of repositories into scratch tables of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import batches_by_bytes, read_repository
from treespan.jobs.ingest.repository import Repository
from treespan.platform.ledger import Account, Decision, account_of, merge_accounts
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import FILES, LEDGER, batches, part_name
from treespan.platform.store import Store

LEDGER_ROWS = 512
"""Decisions in a record batch."""


class DecisionLog:
    """Decisions as they come, held as record batches: a tenth of what they take as objects."""

    def __init__(self) -> None:
        self.batches: list[pa.RecordBatch] = []
        self.account: Account = merge_accounts([])
        self._pending: list[Decision] = []

    def append(self, decision: Decision) -> None:
        """Take in one decision."""
        self._pending.append(decision)
        if len(self._pending) == LEDGER_ROWS:
            self.end_batch()

    def end_batch(self) -> None:
        """What comes next starts a new record batch."""
        self.batches += batches(LEDGER, self._pending, rows_per_batch=LEDGER_ROWS)
        self.account = merge_accounts([self.account, account_of(self._pending)])
        self._pending = []


def read_bundle(
    store: Store, work: str, bundle: int, repositories: Sequence[Repository], config: IngestConfig
) -> Receipt:
    """Read ``repositories`` in the order given; no record batch has rows of two of them.

    Counts: repositories with files, files, bytes, the account of decisions, and under ``batches``, for each
    repository, its record batches of files and of decisions.
    """
    log = DecisionLog()
    counts: Counter[str] = Counter()
    written: list[tuple[int, int]] = []

    def file_batches() -> Iterator[pa.RecordBatch]:
        for repository in repositories:
            before, number = len(log.batches), 0
            for batch in batches_by_bytes(FILES, read_repository(repository, config, log)):
                number += 1
                counts["files"] += batch.num_rows
                counts["bytes"] += sum(batch["size"].to_pylist())
                yield batch
            log.end_batch()
            counts["repositories"] += bool(number)
            written.append((number, len(log.batches) - before))

    part = part_name(bundle)
    store.write_table(f"{work}/read/files/{part}", FILES, file_batches())
    store.write_table(f"{work}/read/ledger/{part}", LEDGER, log.batches)
    totals = {name: counts[name] for name in ("repositories", "files", "bytes")}
    return Receipt([], {**totals, **log.account, "batches": written})
