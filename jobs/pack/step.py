"""The packing step on Ray Data: the documents of a partition become its shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.layout import lay_out
from treespan.jobs.pack.rows import Chunk, chunks_of, rows_of
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.jobs.pack.shard_index import INDEX, index_of
from treespan.jobs.pack.tally import Tally, summary
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.platform.errors import UserError
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import part_name, shards
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import Store

ROWS_PER_BATCH = 64
"""Of a record batch in a shard; every batch but the last of a shard has this many."""


def make_step(config: PackConfig, files_from: str = "curate") -> Step:
    """``shards/epoch-00/part-*.arrow``: rows of ``seq_len`` tokens of the files of ``files_from``."""
    return Step(
        name="pack",
        version=2,
        params=config.to_dict(),
        inputs=(files_from, "sample", "tokenize"),
        run=lambda context: _run(context, config, files_from),
    )


def _run(context: Context, config: PackConfig, files_from: str) -> Result:
    store, folder = context.store, context.folder
    file_parts = context.inputs[files_from].files("files")
    document_parts = context.inputs["sample"].files("documents")
    tokenize = context.inputs["tokenize"]
    parts = len(file_parts)
    shards_folder = f"{folder}/shards"

    def pack(index: int) -> Receipt:
        epoch, partition = divmod(index, parts)
        renderer = load_renderer(tokenize)
        documents = _documents(store, file_parts[partition], document_parts[partition])
        path = f"{shards_folder}/epoch-{epoch:02d}/{part_name(partition)}"
        return _pack_partition(store, path, documents, SegmentBuilder(config, renderer, epoch))

    receipts = map_partitions(context, "pack", pack, parts * config.epochs)
    totals: Counter[str] = Counter()
    for receipt in receipts:
        totals.update(receipt.counts)
    if not totals["rows"]:
        raise UserError("no document was left to pack.", "Add sources, or hold out less.")
    files = files_of(receipts)
    by_epoch: list[list[tuple[str, int]]] = [[] for _ in range(config.epochs)]
    for place, entry in enumerate(files):
        by_epoch[place // parts].append(
            (entry.path.removeprefix(f"{shards_folder}/"), entry.rows or 0)
        )
    index = store.write_json(f"{shards_folder}/{INDEX}", index_of(by_epoch, config.seq_len))
    return Result([*files, index], summary(totals, config.seq_len))


def _documents(store: Store, file_part: str, document_part: str) -> Iterator[list[FileText]]:
    files = store.read_table(file_part, ["file_id", "path", "language", "content"])
    row_of = {file_id: row for row, file_id in enumerate(files["file_id"].to_pylist())}
    for document in store.read_table(document_part).to_pylist():
        placed = (document[name] for name in ("file_ids", "strategies", "copies"))
        yield [
            _file_text(files, row_of[file_id], strategy, copy)
            for file_id, strategy, copy in zip(*placed, strict=True)
        ]


def _file_text(files: pa.Table, row: int, strategy: str, copy: int) -> FileText:
    file_id, path, language, text = (column[row].as_py() for column in files.columns)
    return FileText(file_id, path, language, text, strategy, copy)


def _pack_partition(
    store: Store, path: str, documents: Iterator[list[FileText]], builder: SegmentBuilder
) -> Receipt:
    seq_len = builder.seq_len
    tally = Tally()
    chunks: list[Chunk] = []
    for files in documents:
        segments = [segment for file in files for segment in builder.build(file)]
        chunks += chunks_of(segments, seq_len)
        tally.add_segments(segments)
        tally.counts["files"] += len(files)
    tally.add_uniform(builder.uniform_spans)
    rows = rows_of(chunks, seq_len)
    tally.add_rows(rows, seq_len)
    laid_out = (
        lay_out(rows[first : first + ROWS_PER_BATCH], seq_len, builder.pad)
        for first in range(0, len(rows), ROWS_PER_BATCH)
    )
    entry = store.write_table(path, shards(seq_len), laid_out)
    return Receipt([entry], dict(tally.counts))
