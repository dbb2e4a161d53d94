"""Which files of held-out repositories become rows, to measure the loss on while training.

A sample documents a held-out repository as one document, in the order of its folders. Packing all of
them would be a twentieth of all packing for some hundred rows, so each partition has a quota of
rows, in proportion to the bytes that it holds out, and packs blocks of neighbouring files in the
order of a draw until it is filled. (Ours: a stratified draw, in which no partition waits for
another.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow.compute as pc

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.segments import FileText
from treespan.platform.draws import hash64
from treespan.platform.store import Store

BLOCK_BYTES_PER_TOKEN = 3
"""A block ends before the file that would take it past so many bytes for each token of a row (ours):
code has a little more to a token, so most blocks fit a row, and files see others as in training."""


def bytes_of(store: Store, document_part: str) -> int:
    """How many bytes of files a part of the table of held-out documents stands for."""
    total = pc.sum(store.read_table(document_part, ["bytes"])["bytes"]).as_py()
    return int(total or 0)


def share_out(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` in whole parts that are proportional to ``weights``, by largest remainders.

    All parts are 0 where all weights are.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


def draw_blocks(
    documents: Iterable[Sequence[FileText]], config: PackConfig
) -> Iterator[list[FileText]]:
    """Neighbouring files of ``documents`` in blocks of about a row, in the order of a draw."""
    most = BLOCK_BYTES_PER_TOKEN * config.seq_len
    blocks = [block for files in documents for block in _blocks(files, most)]
    blocks.sort(key=lambda block: hash64(config.seed, "heldout-rows", block[0].file_id))
    return iter(blocks)


def _blocks(files: Sequence[FileText], most: int) -> Iterator[list[FileText]]:
    block: list[FileText] = []
    size = 0
    for file in files:
        length = len(file.text.encode())
        if block and size + length > most:
            yield block
            block, size = [], 0
        block.append(file)
        size += length
    if block:
        yield block
