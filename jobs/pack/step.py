"""The packing step on Ray Data: the documents of a partition become its shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.rows import Chunk, best_fit, chunks_of, lay_out
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.platform.errors import UserError
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import batches, part_name, shards
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import Store

_ROWS_PER_BATCH = 64


def make_step(config: PackConfig, files_from: str = "curate") -> Step:
    """``shards/epoch-00/part-*.arrow``: rows of ``seq_len`` tokens of the files of ``files_from``."""
    return Step(
        name="pack",
        version=1,
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

    def pack(index: int) -> Receipt:
        epoch, partition = divmod(index, parts)
        renderer = load_renderer(tokenize)
        documents = _documents(store, file_parts[partition], document_parts[partition])
        path = f"{folder}/shards/epoch-{epoch:02d}/{part_name(partition)}"
        return _pack_partition(store, path, documents, SegmentBuilder(config, renderer, epoch))

    receipts = map_partitions(context, "pack", pack, parts * config.epochs)
    totals: Counter[str] = Counter()
    for receipt in receipts:
        totals.update(receipt.counts)
    if not totals["rows"]:
        raise UserError("no document was left to pack.", "Add sources, or hold out less.")
    return Result(files_of(receipts), _summary(totals, config))


def _documents(store: Store, file_part: str, document_part: str) -> Iterator[list[FileText]]:
    files = store.read_table(file_part, ["file_id", "path", "language", "content"])
    row_of = {file_id: row for row, file_id in enumerate(files["file_id"].to_pylist())}
    for document in store.read_table(document_part).to_pylist():
        placed = zip(document["file_ids"], document["strategies"], strict=True)
        yield [_file_text(files, row_of[file_id], strategy) for file_id, strategy in placed]


def _file_text(files: pa.Table, row: int, strategy: str) -> FileText:
    file_id, path, language, text = (column[row].as_py() for column in files.columns)
    return FileText(file_id, path, language, text, strategy)


def _pack_partition(
    store: Store, path: str, documents: Iterator[list[FileText]], builder: SegmentBuilder
) -> Receipt:
    counts: Counter[str] = Counter()
    chunks: list[Chunk] = []
    for files in documents:
        segments = [segment for file in files for segment in builder.build(file)]
        chunks += chunks_of(segments, builder.seq_len)
        counts["files"] += len(files)
        for segment in segments:
            tokens = len(segment.tokens)
            counts["segments"] += 1
            counts["text_bytes"] += segment.text_bytes
            counts["tokens"] += tokens
            counts[f"segments/objective/{segment.objective}"] += 1
            counts[f"tokens/objective/{segment.objective}"] += tokens
            if segment.fallback:
                counts[f"segments/fallback/{segment.fallback}"] += 1
            if segment.node_type:
                counts[f"segments/node/{segment.node_type}"] += 1
    rows = best_fit([chunk.length for chunk in chunks], builder.seq_len)
    laid_out = (
        lay_out([chunks[index] for index in sorted(row)], builder.seq_len, builder.pad)
        for row in rows
    )
    schema = shards(builder.seq_len)
    entry = store.write_table(
        path, schema, batches(schema, laid_out, rows_per_batch=_ROWS_PER_BATCH)
    )
    counts["rows"] = len(rows)
    return Receipt([entry], dict(counts))


def _summary(totals: Counter[str], config: PackConfig) -> dict[str, Any]:
    capacity = totals["rows"] * config.seq_len
    return {
        **{name: totals[name] for name in ("files", "segments", "rows", "tokens", "text_bytes")},
        "seq_len": config.seq_len,
        "padding_share": round(1 - totals["tokens"] / capacity, 6),
        "bytes_per_token": round(totals["text_bytes"] / totals["tokens"], 4),
        "segments_by_objective": _below(totals, "segments/objective/"),
        "tokens_by_objective": _below(totals, "tokens/objective/"),
        "fallbacks": _below(totals, "segments/fallback/"),
        "segments_by_node": _below(totals, "segments/node/"),
    }


def _below(totals: Counter[str], prefix: str) -> dict[str, int]:
    found = {name.removeprefix(prefix): n for name, n in totals.items() if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
