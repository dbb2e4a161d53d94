"""The packing step on Ray Data: the documents of a partition become its shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.heldout import bytes_of, draw_blocks, share_out
from treespan.jobs.pack.partition import pack_part, read_documents
from treespan.jobs.pack.segments import SegmentBuilder
from treespan.jobs.pack.shard_index import INDEX, index_of
from treespan.jobs.pack.tally import summary
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.platform.errors import UserError
from treespan.platform.partitions import Receipt, files_of, map_partitions, map_parts
from treespan.platform.schemas import part_name
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import FileEntry


def make_step(config: PackConfig, files_from: str = "curate") -> Step:
    """``shards/epoch-00/part-*.arrow``: rows of ``seq_len`` tokens of the files of ``files_from``;
    ``heldout/part-*.arrow``: rows of held-out repositories. An ``index.json`` beside each."""
    return Step(
        name="pack",
        version=3,
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
        documents = read_documents(store, file_parts[partition], document_parts[partition])
        path = f"{shards_folder}/epoch-{epoch:02d}/{part_name(partition)}"
        return pack_part(store, path, documents, SegmentBuilder(config, renderer, epoch))

    receipts = map_partitions(context, "pack", pack, parts * config.epochs)
    totals: Counter[str] = Counter()
    for receipt in receipts:
        totals.update(receipt.counts)
    if not totals["rows"]:
        raise UserError("no document was left to pack.", "Add sources, or hold out less.")
    files = files_of(receipts)
    by_epoch = [files[first : first + parts] for first in range(0, len(files), parts)]
    index = _write_index(context, "shards", by_epoch, config.seq_len)
    heldout = _pack_heldout(context, config, file_parts)
    heldout_index = _write_index(context, "heldout", [heldout] if heldout else [], config.seq_len)
    counts = {
        **summary(totals, config.seq_len),
        "heldout_rows": sum(entry.rows or 0 for entry in heldout),
    }
    return Result([*files, index, *heldout, heldout_index], counts)


def _pack_heldout(
    context: Context, config: PackConfig, file_parts: Sequence[str]
) -> list[FileEntry]:
    """The shards of held-out rows, with the draws of the first epoch."""
    store, folder, tokenize = context.store, context.folder, context.inputs["tokenize"]
    document_parts = context.inputs["sample"].files("heldout")
    quotas = share_out(config.heldout_rows, [bytes_of(store, part) for part in document_parts])
    wanted = [(partition, rows) for partition, rows in enumerate(quotas) if rows]

    def pack(_: int, part: tuple[int, int]) -> Receipt:
        partition, rows = part
        documents = read_documents(store, file_parts[partition], document_parts[partition])
        blocks = draw_blocks(documents, config)
        builder = SegmentBuilder(config, load_renderer(tokenize), epoch=0)
        path = f"{folder}/heldout/{part_name(partition)}"
        return pack_part(store, path, blocks, builder, max_rows=rows)

    return files_of(map_parts(context, "heldout", pack, wanted))


def _write_index(
    context: Context, folder: str, epochs: Sequence[Sequence[FileEntry]], seq_len: int
) -> FileEntry:
    folder = f"{context.folder}/{folder}"
    named = [
        [(entry.path.removeprefix(f"{folder}/"), entry.rows or 0) for entry in epoch]
        for epoch in epochs
    ]
    return context.store.write_json(f"{folder}/{INDEX}", index_of(named, seq_len))
