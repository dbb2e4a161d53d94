"""Parsing, cutting holes, tokenizing and packing beside bare tokenization of the same text.

    python -m benchmarks.pack [--store FOLDER] [--run NAME] [--megabytes 40] [--repeats 5]
                              [--sizes 1,3,10] [--check | --pictures FOLDER]

Takes the documents and the tokenizer of a finished run and works in this process, on one core. In
each round all contestants run in turn, with a tokenizer that has seen nothing yet; the table has
medians of their ratios to the library's own ``encode_batch_fast`` on the same texts. Then growing
shares of the text are packed: processor seconds should grow as the bytes do. ``--check`` cuts every
file of the run into structured holes instead and holds each against an independent reference;
``--pictures`` draws how long the holes of each objective are.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.pack.check import check_run
from benchmarks.pack.corpus import Documents, PackedRun, megabytes_of, read_run_parts, take
from benchmarks.pack.pictures import draw_pictures
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer as FastTokenizer

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.partition import pack_part
from treespan.jobs.pack.segments import SegmentBuilder
from treespan.model.fim_format import FimRenderer
from treespan.model.objectives import ObjectiveMix
from treespan.platform.store import Store

BATCH = 64
"""Texts to a call of the library."""

MIXES: Mapping[str, ObjectiveMix] = {
    "next token only": ObjectiveMix(ntp=1.0, fim=0.0, sfim=0.0),
    "default mix": ObjectiveMix(),
    "all SFIM": ObjectiveMix(ntp=0.0, fim=0.0, sfim=1.0),
    "all kinds": ObjectiveMix(ntp=0.0, fim=0.0, sfim=0.0, sfim_kind=1.0),
}
"""What is packed, beside tokenization alone."""


Work = Callable[[FimRenderer, FastTokenizer, Documents], None]
"""What is timed; the renderer and the library's tokenizer are the same, and have seen nothing."""


def by_library(renderer: FimRenderer, fast: FastTokenizer, documents: Documents) -> None:
    """Tokenize with ``tokenizers`` alone."""
    texts = [file.text for files in documents for file in files]
    for first in range(0, len(texts), BATCH):
        batch = fast.encode_batch_fast(texts[first : first + BATCH], add_special_tokens=False)
        _ = [item.ids for item in batch]


def by_pretokens(renderer: FimRenderer, fast: FastTokenizer, documents: Documents) -> None:
    """Tokenize with the table of pretokens alone."""
    encode = renderer.tokenizer.encode
    for files in documents:
        for file in files:
            encode(file.text)


def packing(mix: ObjectiveMix, seq_len: int) -> Work:
    """The whole packing step of one part, written to a disk."""

    def pack(renderer: FimRenderer, fast: FastTokenizer, documents: Documents) -> None:
        builder = SegmentBuilder(PackConfig(seq_len=seq_len, objectives=mix), renderer, 0)
        with tempfile.TemporaryDirectory() as folder:
            pack_part(Store(folder), "part.arrow", documents, builder)

    return pack


def seconds_of(work: Work, run: PackedRun, documents: Documents) -> float:
    """Processor seconds of this process for ``work``."""
    renderer, fast = run.renderer(), run.fast_tokenizer()
    started = time.process_time()
    work(renderer, fast, documents)
    return time.process_time() - started


def compare(run: PackedRun, documents: Documents, repeats: int, console: Console) -> None:
    """The table of ratios."""
    contestants = {
        "tokenizers, encode_batch_fast": by_library,
        "table of pretokens": by_pretokens,
        **{f"pack, {name}": packing(mix, run.seq_len) for name, mix in MIXES.items()},
        "pack, default mix, rows of 512": packing(ObjectiveMix(), 512),
        "pack, default mix, rows of 32,768": packing(ObjectiveMix(), 32_768),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, work in contestants.items():
            seconds[name].append(seconds_of(work, run, documents))
    bare = seconds["tokenizers, encode_batch_fast"]
    size = megabytes_of(documents)
    table = Table(title=f"{size:.1f} MB, one core, {repeats} rounds", title_justify="left")
    for heading in ("", "MB per CPU second", "time / bare tokenization", "least", "most"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, found in seconds.items():
        ratios = [ours / theirs for ours, theirs in zip(found, bare, strict=True)]
        rate = size / statistics.median(found)
        spread = (statistics.median(ratios), min(ratios), max(ratios))
        table.add_row(name, f"{rate:.2f}", *(f"{ratio:.2f}" for ratio in spread))
    console.print(table)


def grow(run: PackedRun, documents: Documents, sizes: Sequence[int], console: Console) -> None:
    """Seconds by growing shares of the text."""
    table = Table(title="the default mix by size", title_justify="left")
    for heading in ("size", "MB", "CPU seconds", "MB per CPU second"):
        table.add_column(heading, justify="right")
    whole = megabytes_of(documents)
    for size in sizes:
        share = take(documents, whole * size / max(sizes))
        seconds = seconds_of(packing(ObjectiveMix(), run.seq_len), run, share)
        packed = megabytes_of(share)
        row = (f"{size}", f"{packed:.1f}", f"{seconds:.2f}", f"{packed / seconds:.2f}")
        table.add_row(*row)
    console.print(table)


def main() -> None:
    """The command line."""
    # One core, for the library too.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parser = argparse.ArgumentParser(prog="benchmarks.pack", description=__doc__.splitlines()[0])
    parser.add_argument("--store", default="out", help="store of a run that was packed")
    parser.add_argument("--run", help="its name; the newest packed one if left out")
    parser.add_argument("--megabytes", type=float, default=40.0, help="text to compare with")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--sizes", default="1,3,10", help="of the growing shares")
    parser.add_argument("--check", action="store_true", help="check every structured hole instead")
    parser.add_argument("--pictures", type=Path, help="draw those of the documentation instead")
    asked = parser.parse_args()
    console = Console(highlight=False)
    run = read_run_parts(Store(asked.store), asked.run)
    if asked.check:
        check_run(run, console)
        return
    documents = take(run.documents(), asked.megabytes)
    if asked.pictures:
        draw_pictures(run, documents, asked.pictures)
        return
    compare(run, documents, asked.repeats, console)
    grow(run, documents, [int(size) for size in asked.sizes.split(",")], console)


if __name__ == "__main__":
    main()
