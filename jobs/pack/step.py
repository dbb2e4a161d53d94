"""The packing step on Ray Data: the documents of a partition become its shard."""

from __future__ import annotations

from collections import Counter

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.partition import pack_part, read_documents
from treespan.jobs.pack.segments import SegmentBuilder
from treespan.jobs.pack.shard_index import INDEX, index_of
from treespan.jobs.pack.tally import summary
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.platform.errors import UserError
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import part_name
from treespan.platform.steps import Context, Result, Step


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
    by_epoch: list[list[tuple[str, int]]] = [[] for _ in range(config.epochs)]
    for place, entry in enumerate(files):
        by_epoch[place // parts].append(
            (entry.path.removeprefix(f"{shards_folder}/"), entry.rows or 0)
        )
    index = store.write_json(f"{shards_folder}/{INDEX}", index_of(by_epoch, config.seq_len))
    return Result([*files, index], summary(totals, config.seq_len))
