"""One partition: its documents read, and packed into a shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from treespan.jobs.pack.layout import lay_out
from treespan.jobs.pack.rows import Chunk, chunks_of, rows_of
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.jobs.pack.tally import Tally
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import shards
from treespan.platform.store import Store

ROWS_PER_BATCH = 64
"""Of a record batch in a shard; every batch but the last of a shard has this many."""


def read_documents(store: Store, file_part: str, document_part: str) -> Iterator[list[FileText]]:
    """The documents of ``document_part``, with the texts of their files from ``file_part``."""
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


def pack_part(
    store: Store,
    path: str,
    documents: Iterable[Sequence[FileText]],
    builder: SegmentBuilder,
    max_rows: int | None = None,
) -> Receipt:
    """Write ``documents`` as rows to the shard ``path``; what is in it is counted.

    With ``max_rows``, so many of the first documents are taken as fill that many rows.
    """
    seq_len = builder.seq_len
    tally = Tally()
    chunks: list[Chunk] = []
    for files in documents:
        if max_rows is not None and tally.counts["tokens"] >= max_rows * seq_len:
            break
        segments = [segment for file in files for segment in builder.build(file)]
        chunks += chunks_of(segments, seq_len)
        tally.add_segments(segments)
        tally.counts["files"] += len(files)
    rows = rows_of(chunks, seq_len)[:max_rows]
    tally.add_rows(rows, seq_len)
    laid_out = (
        lay_out(rows[first : first + ROWS_PER_BATCH], seq_len, builder.pad)
        for first in range(0, len(rows), ROWS_PER_BATCH)
    )
    entry = store.write_table(path, shards(seq_len), laid_out)
    return Receipt([entry], dict(tally.counts))
