"""Earlier corpora: a new run drops what is a duplicate of a file that was kept before.

The index of an earlier run says what its files look like. Its parts take part in the shuffle as if
they were further partitions, but their files never go and are not compared to each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.config import CurateConfig, KnownCorpus, NearDedupConfig
from treespan.jobs.curate.index import check_header, files_beside
from treespan.jobs.curate.meetings import band_batch, content_batch, content_keys
from treespan.jobs.curate.scratch import KEYS, MEETINGS, ROW_MASK, make_ref
from treespan.jobs.curate.shingles import shingles
from treespan.jobs.curate.signature import PERMUTATIONS
from treespan.platform.errors import UserError
from treespan.platform.partitions import Receipt
from treespan.platform.run_record import read_run
from treespan.platform.schemas import part_name
from treespan.platform.steps import Output
from treespan.platform.store import Store


@dataclass(frozen=True)
class KnownPart:
    """A part of the index of an earlier run, and the number that it has as a partition of this."""

    partition: int
    store: Store
    path: str
    run: str


def known_output(corpus: KnownCorpus) -> Output:
    """The curated output of an earlier run. Raises ``UserError`` if it has no index."""
    steps = read_run(Store(corpus.store), corpus.run).steps
    if "curate" not in steps or not steps["curate"].files("index"):
        raise UserError(
            f"the run {corpus.run!r} in {corpus.store} holds no index of signatures.",
            "Run its recipe up to curate with curate.index: true, or take it out of curate.against.",
        )
    return steps["curate"]


def known_state(config: CurateConfig) -> list[str] | None:
    """What changes when an earlier corpus does; None where there is none."""
    return [known_output(corpus).digest for corpus in config.against] or None


def known_parts(config: CurateConfig, partitions: int) -> list[KnownPart]:
    """The parts of all earlier indexes, numbered from ``partitions`` on."""
    found: list[KnownPart] = []
    for corpus in config.against:
        output = known_output(corpus)
        for path in output.files("index"):
            number = partitions + len(found)
            found.append(KnownPart(number, output.store, path, corpus.run))
    return found


def screen_known(store: Store, work: str, part: KnownPart, config: CurateConfig) -> Receipt:
    """Write the ``MEETINGS`` and ``KEYS`` of one part of an earlier index; no text is read."""
    name = part_name(part.partition)

    def meetings() -> Iterator[pa.RecordBatch]:
        for first, batch in _batches(part):
            yield from known_meetings(batch, make_ref(part.partition, first), config.near_dedup)

    def keys() -> Iterator[pa.RecordBatch]:
        for first, batch in _batches(part):
            yield known_keys(batch, make_ref(part.partition, first))

    written = store.write_table(f"{work}/meetings/{name}", MEETINGS, meetings())
    known = store.write_table(f"{work}/keys/{name}", KEYS, keys())
    return Receipt([], {"files": known.rows, "meetings": written.rows})


def known_meetings(
    batch: pa.RecordBatch, first_ref: int, config: NearDedupConfig
) -> Iterator[pa.RecordBatch]:
    """What the rows of an index have in common with others, as ``MEETINGS``."""
    refs = np.uint64(first_ref) + np.arange(batch.num_rows, dtype=np.uint64)
    contents = content_keys(batch["sha256"])
    yield content_batch(contents, refs)
    if config.enabled:
        sizes = batch["shingles"].to_numpy()
        signatures = batch["signature"].flatten().to_numpy().reshape(-1, PERMUTATIONS)
        some = sizes > 0
        yield band_batch(signatures[some], sizes[some], contents[some], refs[some], config)


def known_keys(batch: pa.RecordBatch, first_ref: int) -> pa.RecordBatch:
    """The rows of an index as ``KEYS``."""
    rows = batch.num_rows
    columns = {
        "ref": pa.array(np.uint64(first_ref) + np.arange(rows, dtype=np.uint64)),
        "language": pa.array([""] * rows),
        "stars": pa.array(np.full(rows, -1)),
        "test_files": pa.array(np.zeros(rows, dtype=np.int64)),
        "licence_known": pa.array([True] * rows),
        "known": pa.array([True] * rows),
    }
    chosen = [columns.get(name) for name in KEYS.names]
    return pa.RecordBatch.from_arrays(
        [
            batch[name] if column is None else column
            for name, column in zip(KEYS.names, chosen, strict=True)
        ],
        schema=KEYS,
    )


def known_sets(part: KnownPart, refs: NDArray[np.uint64]) -> list[NDArray[np.uint64]]:
    """The shingle sets of ``refs`` (sorted) of this part, from the texts beside the index."""
    rows = (refs & np.uint64(ROW_MASK)).astype(np.int64)
    found: list[NDArray[np.uint64]] = []
    files = files_beside(part.path)
    with part.store.open_table(files, ["size"]) as narrow, part.store.open_table(files) as reader:
        first = 0
        for number in range(reader.num_record_batches):
            length = narrow.get_batch(number).num_rows
            inside = rows[(rows >= first) & (rows < first + length)] - first
            if len(inside):  # a remote batch that is not wanted is not fetched
                contents = reader.get_batch(number)["content"].cast(pa.large_binary())
                found += [shingles(contents[int(row)].as_py()) for row in inside]
            first += length
    return found


def name_of(known: Sequence[KnownPart], ref: int, repo: str, path: str) -> str:
    """What the ledger calls a file of an earlier corpus; empty for one of this."""
    for part in known:
        if part.partition == ref >> 32:
            return f"{repo}/{path} of the run {part.run}"
    return ""


def _batches(part: KnownPart) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of its first row, batch) for each batch of the index."""
    with part.store.open_table(part.path) as reader:
        check_header(reader.schema, part.path)
        first = 0
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            yield first, batch
            first += batch.num_rows
