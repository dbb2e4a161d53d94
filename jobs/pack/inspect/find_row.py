"""Finding a packed row, the tokenizer that it was made with, and the names of its files.

All of it follows from the manifests: a shard lies in the folder of its step, whose manifest has the
digests of the steps that it was made from, and those lie beside it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow as pa

from treespan.jobs.pack.inspect.row_view import FileName, RowView, view_row
from treespan.jobs.pack.shard_index import ShardIndex, check_row
from treespan.jobs.tokenize.renderer import load_renderer, read_renderer
from treespan.model.fim_format import FimRenderer
from treespan.platform.errors import UserError
from treespan.platform.lookup import places_of
from treespan.platform.run_record import read_run
from treespan.platform.steps import Output, find_output, read_output
from treespan.platform.store import Store

_SHARD = ".arrow"
_STEPS = "/steps/"


@dataclass(frozen=True)
class Asked:
    """Which row to look at."""

    where: str
    """A shard (a path or URI that ends in ``.arrow``), or a store."""
    row: int
    """Of the shard, or of the epoch."""
    epoch: int = 0
    """Where ``where`` is a store."""
    run: str | None = None
    """Name of the recipe where ``where`` is a store; the newest packed run by default."""
    tokenizer: str | None = None
    """Folder of ``tokenizer.json`` and ``fim_format.json``, where no manifest tells."""


@dataclass(frozen=True)
class FoundRow:
    """A row and where it is."""

    shard: str
    """Path or URI of the shard."""
    row: int
    """Its number in the shard."""
    rows: int
    """Rows of the shard."""
    view: RowView


def find_row(asked: Asked) -> FoundRow:
    """The row that is ``asked`` for. Raises ``UserError`` that says what is missing or wrong."""
    store, path, row, pack = _shard(asked)
    if not store.exists(path):
        raise UserError(
            f"{store.child(path)} does not exist.",
            "Give a shard, a file part-*.arrow of a packed step, or a store.",
        )
    values, rows = _read_row(store, path, row)
    renderer = _renderer(asked, store, pack)
    files = {segment["file_id"] for segment in values["segments"]}
    names = {} if pack is None else _names(pack, files, path.rpartition("/")[2])
    return FoundRow(store.child(path), row, rows, view_row(values, renderer, names))


def view_of(pack: Output, path: str, row: int) -> RowView:
    """Row ``row`` of the shard at ``path`` of ``pack``."""
    values, _ = _read_row(pack.store, path, row)
    names = _names(pack, {s["file_id"] for s in values["segments"]}, path.rpartition("/")[2])
    return view_row(values, load_renderer(_tokenize(pack)), names)


def _shard(asked: Asked) -> tuple[Store, str, int, Output | None]:
    """The store, the shard's path in it, the row's number in the shard, and its step, if known."""
    remote = "://" in asked.where
    base, mark, options = asked.where.partition("?") if remote else (asked.where, "", "")
    if not base.endswith(_SHARD):
        store = Store(asked.where)
        pack = read_run(store, asked.run, with_step="pack").steps["pack"]
        path, row = ShardIndex.read(store, f"{pack.folder}/shards").locate(asked.epoch, asked.row)
        return store, path, row, pack
    base = Store(base).uri
    root, steps, below = base.rpartition(_STEPS)
    if not steps:
        folder, _, name = base.rpartition("/")
        return Store(f"{folder}{mark}{options}"), name, asked.row, None
    store = Store(f"{root}{mark}{options}")
    path = f"steps/{below}"
    return store, path, asked.row, read_output(store, "/".join(path.split("/")[:2]))


def _read_row(store: Store, path: str, number: int) -> tuple[dict[str, Any], int]:
    """The row's columns as Python values, and how many rows there are. Reads one whole batch."""
    try:
        with store.open_table(path) as reader:
            if (reader.schema.metadata or {}).get(b"treespan.table") != b"shards":
                raise UserError(
                    f"{store.child(path)} is a table, but not a shard.",
                    "Shards are the files below shards/ of a packed step.",
                )
        with store.open_table(path, ["document_lengths"]) as reader:
            sizes = [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]
    except pa.ArrowInvalid as error:
        raise UserError(
            f"{store.child(path)} is no Arrow file ({str(error).splitlines()[0]}).",
            "Give a shard, a file part-*.arrow of a packed step, or a store.",
        ) from None
    check_row(number, sum(sizes), "the shard")
    ends = list(accumulate(sizes))
    batch = bisect_right(ends, number)
    with store.open_table(path) as reader:
        within = number - (ends[batch] - sizes[batch])
        row: dict[str, Any] = reader.get_batch(batch).slice(within, 1).to_pylist()[0]
    return row, ends[-1]


def _renderer(asked: Asked, store: Store, pack: Output | None) -> FimRenderer:
    if asked.tokenizer is not None:
        folder = Store(asked.tokenizer)
        for name in ("tokenizer.json", "fim_format.json"):
            if not folder.exists(name):
                raise UserError(
                    f"{asked.tokenizer} has no {name}.",
                    "Give the folder tokenizer/ of a step tokenize-*, or a checkpoint.",
                )
        return read_renderer(folder)
    if pack is None:
        raise UserError(
            f"{store.uri} does not tell which tokenizer the shard was made with.",
            "Give its folder with --tokenizer, or the shard where its run has put it.",
        )
    return load_renderer(_tokenize(pack))


def _tokenize(pack: Output) -> Output:
    found = _input(pack, "tokenize")
    if found is None:
        raise UserError(
            f"{pack.store.uri} no longer has the tokenizer of {pack.folder}.",
            "Give its folder with --tokenizer.",
        )
    return found


def _names(pack: Output, file_ids: set[str], part: str) -> Mapping[str, FileName]:
    """The names of files, as far as the steps that ``pack`` read still have them.

    A shard's files are most likely in the part that is called like the shard, so it is read first.
    """
    for step in pack.manifest["inputs"]:
        output = _input(pack, step)
        parts = [] if output is None else output.files("files")
        if output is not None and parts:
            parts.sort(key=lambda path: path.rpartition("/")[2] != part)
            places = places_of(output, file_ids, parts)
            return {found: FileName(place.repo, place.path) for found, place in places.items()}
    return {}


def _input(pack: Output, step: str) -> Output | None:
    digest = pack.manifest["inputs"].get(step)
    return None if digest is None else find_output(pack.store, step, digest)
