"""From text to signature on one core: how fast, and how good the estimates are.

    python -m benchmarks.dedup.kernel TABLE PAIRS RESULT [--files N] [--rounds N]

Every way is given the same texts, as bytes, in turn and several times over; the median of the
processor seconds counts. Estimates are made for the pairs in PAIRS and held against their exact
similarity. Runs in an environment of its own that has the other libraries too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"

import numpy as np
import pyarrow.parquet as pq
from benchmarks.dedup.peers.plain_words import shingles as plain_shingles
from datasketch import MinHash
from numpy.typing import NDArray
from rensa import RMinHash
from xxhash import xxh32_intdigest

from treespan.jobs.curate.shingles import grams_in_order, shingles
from treespan.jobs.curate.signature import signature

PERMUTATIONS = 256
MAX_PAIRS = 2000

Signatures = NDArray[np.uint32]


def treespan_sets(texts: Sequence[bytes]) -> Signatures:
    """Treespan, with the set of shingles on the way, as deduplication needs it."""
    return np.array([signature(shingles(text)) for text in texts])


def treespan_grams(texts: Sequence[bytes]) -> Signatures:
    """Treespan, from shingles with repeats, which do not change a minimum."""
    return np.array([signature(grams_in_order(text)) for text in texts])


def datasketch_sha1(texts: Sequence[bytes]) -> Signatures:
    """datasketch as it comes: ``bulk``, affine32, SHA-1."""
    sets = (plain_shingles(text) for text in texts)
    return np.array([m.hashvalues for m in MinHash.bulk(sets, num_perm=PERMUTATIONS)])


def datasketch_xxhash(texts: Sequence[bytes]) -> Signatures:
    """datasketch with the fastest hash function that it can be given."""
    sets = (plain_shingles(text) for text in texts)
    bulk = MinHash.bulk(sets, num_perm=PERMUTATIONS, hashfunc=xxh32_intdigest)
    return np.array([m.hashvalues for m in bulk])


def rensa_sets(texts: Sequence[bytes]) -> Signatures:
    """rensa's R-MinHash of sets of bytes."""
    sets = [plain_shingles(text) for text in texts]
    digests = RMinHash.digest_matrix_from_token_byte_sets(sets, PERMUTATIONS, 42)
    return np.array(digests.to_rows(), dtype=np.uint32)


WAYS: dict[str, Callable[[Sequence[bytes]], Signatures]] = {
    "treespan": treespan_sets,
    "treespan, repeats kept": treespan_grams,
    "datasketch bulk, SHA-1": datasketch_sha1,
    "datasketch bulk, xxhash": datasketch_xxhash,
    "rensa R-MinHash": rensa_sets,
}
BASELINE = "datasketch bulk, SHA-1"


@dataclass(frozen=True)
class Way:
    """A way's processor seconds for all files, and the errors of its estimates."""

    name: str
    cpu_s: float
    files_per_s: float
    ratio: float
    """Times as fast as datasketch as it comes."""
    bias: float
    sd: float


def time_ways(texts: Sequence[bytes], rounds: int) -> dict[str, float]:
    """Median processor seconds of each way for ``texts``."""
    for way in WAYS.values():
        way(texts[:50])  # compile, import, warm caches
    spent: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            started = time.process_time()
            way(texts)
            spent[name].append(time.process_time() - started)
    return {name: statistics.median(times) for name, times in spent.items()}


def errors(
    way: Callable[[Sequence[bytes]], Signatures], pairs: Sequence[tuple[bytes, bytes, float]]
) -> tuple[float, float]:
    """Mean and standard deviation of estimate minus similarity."""
    one = way([a for a, _, _ in pairs])
    other = way([b for _, b, _ in pairs])
    wrong = (one == other).mean(axis=1) - np.array([similarity for _, _, similarity in pairs])
    return float(wrong.mean()), float(wrong.std())


def equal_to_datasketch(texts: Sequence[bytes]) -> float:
    """Share of Treespan's values that datasketch gives for the same 32-bit hashes."""
    equal = []
    for text in texts:
        hashes = shingles(text)
        sketch = MinHash(PERMUTATIONS, scheme="affine32", hashfunc=int)
        sketch.update_batch((hashes >> np.uint64(32)).tolist())
        equal.append(float(np.mean(sketch.hashvalues == signature(hashes))))
    return statistics.mean(equal)


def compare(
    texts: Sequence[bytes], pairs: Sequence[tuple[bytes, bytes, float]], rounds: int
) -> dict[str, Any]:
    """All that this module measures."""
    times = time_ways(texts, rounds)
    ways = []
    for name, cpu_s in times.items():
        bias, sd = errors(WAYS[name], pairs)
        ways.append(Way(name, cpu_s, len(texts) / cpu_s, times[BASELINE] / cpu_s, bias, sd))
    return {
        "files": len(texts),
        "bytes": sum(map(len, texts)),
        "pairs": len(pairs),
        "equal_to_datasketch": equal_to_datasketch(texts[:200]),
        "ways": [asdict(way) for way in ways],
    }


def main() -> None:
    """Measure on one core and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    table = pq.read_table(arguments.table, columns=["id", "content"]).to_pydict()
    content = {id: text.encode() for id, text in zip(table["id"], table["content"], strict=True)}
    known = pq.read_table(arguments.pairs).slice(0, MAX_PAIRS).to_pydict()
    pairs = [
        (content[a], content[b], similarity)
        for a, b, similarity in zip(known["a"], known["b"], known["similarity"], strict=True)
    ]
    result = compare(list(content.values())[: arguments.files], pairs, arguments.rounds)
    arguments.result.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
