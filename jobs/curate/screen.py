"""First pass over a partition: the rules on single files, and the hashes of those that pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.config import CurateConfig, NearDedupConfig
from treespan.jobs.curate.licences import UNKNOWN
from treespan.jobs.curate.meetings import band_batch, content_batch, content_keys
from treespan.jobs.curate.repositories import GATES, Survey
from treespan.jobs.curate.rules import Candidate, Verdict, judge, rules_of
from treespan.jobs.curate.scratch import KEYS, MEETINGS, SHINGLES, SURVEY, make_ref
from treespan.jobs.curate.shingles import shingles
from treespan.jobs.curate.signature import signature
from treespan.platform.language import detect_language
from treespan.platform.ledger import Decision, decide
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import LEDGER, batches, part_name
from treespan.platform.store import Store

STEP = "curate"

READ_COLUMNS = [
    "file_id",
    "repo",
    "path",
    "sha256",
    "size",
    "licence",
    "stars",
    "commits",
    "authors",
    "test_files",
    "source",
]


@dataclass(frozen=True)
class Compared:
    """A file that stands for its content in near-duplicate detection."""

    ref: int
    sha256: str
    hashes: NDArray[np.uint64]


class Screen:
    """Screens one partition: keys, meetings and decisions pile up as narrow batches, under 1 kB a
    file together; shingles stream on.
    """

    def __init__(self, partition: int, config: CurateConfig) -> None:
        self.partition = partition
        self.config = config
        self.keys: list[pa.RecordBatch] = []
        self.meetings: list[pa.RecordBatch] = []
        self.ledger: list[pa.RecordBatch] = []
        self.files = 0
        self.bytes = 0
        self._rules = rules_of(config)
        self._seen: set[str] = set()
        self.survey = Survey()

    def screen(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Screen the next rows of ``FILES``; returns the ``SHINGLES`` of those that pass."""
        contents = batch["content"].cast(pa.large_binary())
        compared: list[Compared] = []
        keys: list[dict[str, Any]] = []
        decisions: list[Decision] = []
        for index, row in enumerate(batch.select(READ_COLUMNS).to_pylist()):
            content = contents[index].as_py()
            row["ref"] = make_ref(self.partition, self.files)
            row["language"] = detect_language(row["path"], content)
            row["licence_known"] = row["licence"] not in UNKNOWN
            row["known"] = False
            self.files += 1
            self.bytes += row["size"]
            file = Candidate(row["path"], row["language"], row["licence"], row["source"], content)
            verdict = judge(file, self._rules)
            if verdict is None or verdict.rule not in GATES:
                self.survey.add(row)
            if verdict is not None:
                decisions.append(decide_by(verdict, row))
                continue
            keys.append(row)
            # Copies within the partition meet by their content only: the first stands for all.
            if self.config.near_dedup.enabled and row["sha256"] not in self._seen:
                compared.append(Compared(row["ref"], row["sha256"], shingles(content)))
            self._seen.add(row["sha256"])
        self.keys.append(pa.RecordBatch.from_pylist(keys, schema=KEYS))
        self.ledger.append(pa.RecordBatch.from_pylist(decisions, schema=LEDGER))
        meetings = band_meetings(compared, self.config.near_dedup)
        if meetings is not None:
            self.meetings.append(meetings)
        return shingle_batch(compared)

    def all_meetings(self) -> Iterator[pa.RecordBatch]:
        """Every file with its content, if copies are looked for, and the bands of all batches."""
        wanted = self.config.exact_dedup or self.config.repository_dedup.enabled
        for keys in self.keys if wanted else ():
            yield content_batch(content_keys(keys["sha256"]), keys["ref"].to_numpy())
        yield from self.meetings


def screen_partition(
    store: Store, files: str, work: str, partition: int, config: CurateConfig
) -> Receipt:
    """Screen the table ``files`` of ingest; write scratch tables below ``work``."""
    screen = Screen(partition, config)
    part = part_name(partition)

    def shingle_batches() -> Iterator[pa.RecordBatch]:
        with store.open_table(files) as reader:
            for index in range(reader.num_record_batches):
                yield screen.screen(reader.get_batch(index))

    store.write_table(f"{work}/shingles/{part}", SHINGLES, shingle_batches())
    meetings = store.write_table(f"{work}/meetings/{part}", MEETINGS, screen.all_meetings())
    store.write_table(f"{work}/keys/{part}", KEYS, screen.keys)
    store.write_table(f"{work}/ledger/{part}", LEDGER, screen.ledger)
    survey = screen.survey.rows(pa.Table.from_batches(screen.keys, KEYS))
    store.write_table(f"{work}/survey/{part}", SURVEY, batches(SURVEY, survey))
    counts = {"files": screen.files, "bytes": screen.bytes, "meetings": meetings.rows}
    return Receipt([], counts)


def decide_by(verdict: Verdict, file: Mapping[str, Any]) -> Decision:
    """The ledger row that says that ``verdict`` dropped ``file``."""
    return decide(
        file,
        step=STEP,
        rule=verdict.rule,
        value=verdict.value,
        threshold=verdict.threshold,
        detail=verdict.detail,
    )


def band_meetings(compared: Sequence[Compared], config: NearDedupConfig) -> pa.RecordBatch | None:
    """The bands of all files that have shingles; None if there is none."""
    some = [file for file in compared if len(file.hashes)]
    if not some:
        return None
    return band_batch(
        np.stack([signature(file.hashes) for file in some]),
        np.array([len(file.hashes) for file in some], dtype=np.uint32),
        content_keys([file.sha256 for file in some]),
        np.array([file.ref for file in some], dtype=np.uint64),
        config,
    )


def shingle_batch(compared: Sequence[Compared]) -> pa.RecordBatch:
    """Their shingle sets as rows of ``SHINGLES``."""
    lengths = [len(file.hashes) for file in compared]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    none = [np.empty(0, dtype=np.uint64)]
    values = np.concatenate([file.hashes for file in compared] or none)
    refs = pa.array([file.ref for file in compared], type=pa.uint64())
    hashes = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
    return pa.RecordBatch.from_arrays([refs, hashes], schema=SHINGLES)
