"""The index of benchmarks: what scanning needs to know of them, as hashes and item names.

No text of a benchmark goes in. The driver builds it; it is a scratch table of the step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.decontaminate.benchmarks import WORD, Item
from treespan.jobs.decontaminate.config import DecontaminateConfig
from treespan.jobs.decontaminate.ngrams import HashTable, ngrams, word_hashes
from treespan.platform.store import Store

SHINGLE = 5
"""Words in the shingles of near matches, as in near-duplicate detection."""

POSTINGS = pa.schema([("hash", pa.uint64()), ("items", pa.list_(pa.uint32()))])
"""One row is a hash and the items that have it; sorted by hash."""

ITEMS = pa.schema([("name", pa.string()), ("benchmark", pa.string()), ("shingles", pa.uint32())])
"""One row is an item, and the number of its shingles."""


@dataclass(frozen=True)
class Postings:
    """Hashes, and of each the items that have it: ``items[offsets[i]:offsets[i + 1]]``."""

    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    items: NDArray[np.int64]

    @cached_property
    def table(self) -> HashTable:
        """The hashes, ready to be looked for."""
        return HashTable(self.hashes)

    def items_of(self, hashes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The items of the hashes at these places, one after the other, with repeats."""
        lengths = self.offsets[hashes + 1] - self.offsets[hashes]
        firsts = np.repeat(self.offsets[hashes] - (np.cumsum(lengths) - lengths), lengths)
        found: NDArray[np.int64] = self.items[firsts + np.arange(lengths.sum())]
        return found


@dataclass(frozen=True)
class Index:
    """All that a worker needs to scan files."""

    names: tuple[str, ...]
    benchmarks: tuple[str, ...]
    shingle_counts: NDArray[np.int64]
    """Shingles of each item; 0 where it is too small for near matches."""
    sizes: tuple[int, ...]
    """Lengths of the runs in ``runs``."""
    runs: Postings
    shingles: Postings
    boilerplate: int
    """Runs that were left out because too many problems have them."""


def build_index(items: Sequence[Item], config: DecontaminateConfig) -> Index:
    """The index of ``items``, whose order names them from here on."""
    runs: dict[int, set[int]] = {}
    shingles: dict[int, set[int]] = {}
    sizes: set[int] = set()
    for number, item in enumerate(items):
        for part in item.parts:
            size, found = _runs(part, config)
            if found:
                sizes.add(size)
            for value in found:
                runs.setdefault(value, set()).add(number)
        if config.near_containment is not None:
            for whole in item.wholes:
                for value in ngrams(word_hashes(whole), SHINGLE).tolist():
                    shingles.setdefault(value, set()).add(number)
    kept = _without_boilerplate(runs, items, config.max_problems)
    near = _without_boilerplate(shingles, items, config.max_problems)
    counts = np.zeros(len(items), dtype=np.int64)
    for numbers in near.values():
        counts[list(numbers)] += 1
    counts[counts < config.near_min_shingles] = 0
    return Index(
        names=tuple(item.name for item in items),
        benchmarks=tuple(item.benchmark for item in items),
        shingle_counts=counts,
        sizes=tuple(sorted(sizes)),
        runs=_postings(kept),
        shingles=_postings(
            {value: big for value, n in near.items() if (big := {i for i in n if counts[i]})}
        ),
        boilerplate=len(runs) - len(kept),
    )


def _runs(text: bytes, config: DecontaminateConfig) -> tuple[int, set[int]]:
    """Length of the runs of ``text`` to look for, and their hashes."""
    words = WORD.findall(text)
    if len(words) < config.min_words:
        return 0, set()
    size = min(config.ngram, len(words))
    hashes = ngrams(word_hashes(text), size).tolist()
    return size, {
        value
        for start, value in enumerate(hashes)
        if _names(words[start : start + size]) >= config.min_names
    }


def _names(words: Iterable[bytes]) -> int:
    return len({word for word in words if len(word) > 1 and not word[:1].isdigit()})


def _without_boilerplate(
    found: Mapping[int, set[int]], items: Sequence[Item], max_problems: int
) -> dict[int, set[int]]:
    """Those that no benchmark has in more than ``max_problems`` problems."""

    def widest(numbers: set[int]) -> int:
        problems = {(items[number].benchmark, items[number].problem) for number in numbers}
        return max(Counter(benchmark for benchmark, _ in problems).values())

    return {
        value: numbers
        for value, numbers in found.items()
        if len(numbers) <= max_problems or widest(numbers) <= max_problems
    }


def _postings(found: Mapping[int, set[int]]) -> Postings:
    hashes = sorted(found)
    lengths = [len(found[value]) for value in hashes]
    return Postings(
        np.array(hashes, dtype=np.uint64),
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        np.array([n for value in hashes for n in sorted(found[value])], dtype=np.int64),
    )


def write_index(store: Store, folder: str, index: Index) -> None:
    """Store the index below ``folder``."""
    for name, postings in (("runs", index.runs), ("shingles", index.shingles)):
        lists = pa.ListArray.from_arrays(
            pa.array(postings.offsets.astype(np.int32)), pa.array(postings.items.astype(np.uint32))
        )
        batch = pa.RecordBatch.from_arrays([pa.array(postings.hashes), lists], schema=POSTINGS)
        store.write_table(f"{folder}/{name}.arrow", POSTINGS, [batch])
    counts = pa.array(index.shingle_counts.astype(np.uint32))
    columns = [pa.array(index.names, pa.string()), pa.array(index.benchmarks, pa.string()), counts]
    batch = pa.RecordBatch.from_arrays(columns, schema=ITEMS)
    store.write_table(f"{folder}/items.arrow", ITEMS, [batch])
    store.write_json(
        f"{folder}/index.json", {"sizes": index.sizes, "boilerplate": index.boilerplate}
    )


@lru_cache(maxsize=1)
def read_index(store_uri: str, folder: str) -> Index:
    """The stored index; a worker keeps it for its next partitions."""
    store = Store(store_uri)
    items = store.read_table(f"{folder}/items.arrow")
    values = store.read_json(f"{folder}/index.json")
    return Index(
        names=tuple(items["name"].to_pylist()),
        benchmarks=tuple(items["benchmark"].to_pylist()),
        shingle_counts=items["shingles"].to_numpy().astype(np.int64),
        sizes=tuple(values["sizes"]),
        runs=_read_postings(store, f"{folder}/runs.arrow"),
        shingles=_read_postings(store, f"{folder}/shingles.arrow"),
        boilerplate=values["boilerplate"],
    )


def _read_postings(store: Store, path: str) -> Postings:
    table = store.read_table(path).combine_chunks()
    if table.num_rows == 0:
        return _postings({})
    lists = table["items"].chunk(0)
    return Postings(
        table["hash"].to_numpy(),
        lists.offsets.to_numpy().astype(np.int64),
        lists.values.to_numpy().astype(np.int64),
    )
