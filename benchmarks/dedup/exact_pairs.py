"""The truth: all pairs of files with a Jaccard similarity of at least a threshold, exactly.

    python -m benchmarks.dedup.exact_pairs TABLE PAIRS [--threshold 0.7] [--words str]

Shares no code with Treespan. A word is a run of ASCII letters, digits, ``_`` and bytes of 128 and
more, or (``--words str``) of what Python's ``\\w`` is on text; a shingle is five words in a row,
as text; a file of fewer words is one shingle, one without words has none. Shingles are named by 128
bits of BLAKE2. Pairs come from an exact join: of two sets that are similar enough, the rarest parts
(1 - threshold of each) share an element (Chaudhuri, Ganti and Kaushik 2006). Only sets that do are
compared, and these in full.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import njit
from numpy.typing import NDArray

WORDS = 5

PAIRS = pa.schema([("a", pa.string()), ("b", pa.string()), ("similarity", pa.float64())])
"""A pair of ids, a < b, and the similarity of the two."""

_BYTES = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
_TEXT = re.compile(r"\w+")


def words_of_bytes(text: bytes) -> list[bytes]:
    """The words that the truth is made of."""
    return _BYTES.findall(text)


def words_of_text(text: bytes) -> list[bytes]:
    """The words by Python's ``\\w+`` on decoded text."""
    return [word.encode() for word in _TEXT.findall(text.decode())]


SPLITS: dict[str, Callable[[bytes], list[bytes]]] = {"bytes": words_of_bytes, "str": words_of_text}


def shingle_set(text: bytes, split: str = "bytes") -> set[bytes]:
    """The word 5-grams of ``text``, as text."""
    words = SPLITS[split](text)
    if len(words) < WORDS:
        return {b" ".join(words)} if words else set()
    return set(map(b" ".join, zip(*(words[i:] for i in range(WORDS)), strict=False)))


def jaccard(one: set[bytes], other: set[bytes]) -> float:
    """Shared elements over all elements; 0 for two empty sets."""
    common = len(one & other)
    return common / max(1, len(one) + len(other) - common)


@dataclass(frozen=True)
class Sets:
    """Sets of small integers: set i is ``values[offsets[i]:offsets[i + 1]]``, sorted.

    The rarer an element is among the sets, the smaller its number.
    """

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]


def read_sets(table: Path, split: str = "bytes") -> tuple[list[str], Sets]:
    """The ids of a table of files, and their shingle sets."""
    with pq.ParquetFile(table) as file:
        groups = range(file.metadata.num_row_groups)
    ids: list[str] = []
    sizes = [np.zeros(1, dtype=np.int64)]
    digests = [np.empty((0, 2), dtype=np.uint64)]
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for some, lengths, hashes in pool.map(partial(_digests, table, split), groups):
            ids += some
            sizes.append(lengths)
            digests.append(hashes)
    return ids, _number(np.concatenate(digests), np.cumsum(np.concatenate(sizes)))


def _digests(
    table: Path, split: str, group: int
) -> tuple[list[str], NDArray[np.int64], NDArray[np.uint64]]:
    with pq.ParquetFile(table) as file:
        rows = file.read_row_group(group, columns=["id", "content"])
    sizes: list[int] = []
    found: list[bytes] = []
    for content in rows["content"]:
        shingles = shingle_set(content.as_py().encode(), split)
        sizes.append(len(shingles))
        found += [blake2b(shingle, digest_size=16).digest() for shingle in shingles]
    hashes = np.frombuffer(b"".join(found), dtype=np.uint64).reshape(-1, 2)
    return rows["id"].to_pylist(), np.array(sizes, dtype=np.int64), hashes


def _number(digests: NDArray[np.uint64], offsets: NDArray[np.int64]) -> Sets:
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    new = np.empty(len(order), dtype=np.bool_)
    new[:1] = True
    new[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    distinct = np.empty(len(order), dtype=np.int32)
    distinct[order] = np.cumsum(new) - 1
    often = np.bincount(distinct)
    rank = np.empty(len(often), dtype=np.int32)
    rank[np.argsort(often, kind="stable")] = np.arange(len(often), dtype=np.int32)
    values = rank[distinct]
    for start, end in pairwise(offsets):
        values[start:end].sort()
    return Sets(values, offsets)


def join(sets: Sets, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Positions of all pairs of at least ``threshold``: int64 [n, 2], first < second; float64 [n]."""
    sizes = np.diff(sets.offsets)
    by_size = np.argsort(sizes, kind="stable")
    first, second, similarity = _join(sets.values, sets.offsets, by_size, threshold - 1e-9)
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], similarity[order]


@njit(nogil=True)
def _prefix(size: int, threshold: float) -> int:
    # Two similar sets share at least threshold * size elements of this one. Were none of the
    # other size - that + 1 rarest of it shared, there would not be enough left.
    return size - int(np.ceil(threshold * size)) + 1 if size else 0


@njit(nogil=True)
def _join(
    values: NDArray[np.int32],
    offsets: NDArray[np.int64],
    by_size: NDArray[np.int64],
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    # Postings of prefix elements, as one array with the start of each element's run.
    elements = 0
    for value in values:
        elements = max(elements, value + 1)
    starts = np.zeros(elements + 1, dtype=np.int64)
    for i in range(len(by_size)):
        begin = offsets[i]
        for k in range(_prefix(offsets[i + 1] - begin, threshold)):
            starts[values[begin + k] + 1] += 1
    starts = np.cumsum(starts)
    ends = starts[:-1].copy()
    postings = np.empty(starts[-1], dtype=np.int64)
    asked = np.full(len(by_size), -1, dtype=np.int64)
    first, second, similarity = [0], [0], [0.0]
    for i in by_size:
        begin, size = offsets[i], offsets[i + 1] - offsets[i]
        for k in range(_prefix(size, threshold)):
            element = values[begin + k]
            for place in range(starts[element], ends[element]):
                j = postings[place]
                other = offsets[j + 1] - offsets[j]
                if asked[j] == i or other < threshold * size:
                    continue
                asked[j] = i
                a, b, common = begin, offsets[j], 0
                while a < begin + size and b < offsets[j + 1]:
                    if values[a] == values[b]:
                        common += 1
                        a += 1
                        b += 1
                    elif values[a] < values[b]:
                        a += 1
                    else:
                        b += 1
                jaccard = common / (size + other - common)
                if jaccard >= threshold:
                    first.append(i)
                    second.append(j)
                    similarity.append(jaccard)
        # Entered only now, so that a pair is met once; sizes grow, so shorter ones are all there.
        for k in range(_prefix(size, threshold)):
            element = values[begin + k]
            postings[ends[element]] = i
            ends[element] += 1
    return np.array(first[1:]), np.array(second[1:]), np.array(similarity[1:])


def exact_pairs(table: Path, threshold: float, split: str = "bytes") -> pa.Table:
    """All pairs of the files in ``table`` of at least ``threshold``, as ``PAIRS``."""
    ids, sets = read_sets(table, split)
    places, similarity = join(sets, threshold)
    names = np.array(ids, dtype=np.str_)[places.reshape(-1, 2)]
    names = np.sort(names, axis=1)
    return pa.table([names[:, 0].tolist(), names[:, 1].tolist(), similarity], schema=PAIRS)


def main() -> None:
    """Write the pairs of a table of files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--threshold", type=float, default=0.7)
    parser.add_argument("--words", choices=list(SPLITS), default="bytes")
    arguments = parser.parse_args()
    started = time.perf_counter()
    pairs = exact_pairs(arguments.table, arguments.threshold, arguments.words)
    pq.write_table(pairs, arguments.pairs)
    print(f"{len(pairs):,} pairs in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
