"""``treespan dedup``: near duplicates of any table of texts, in one process and without Ray.

The same kernels, the same verification and the same decisions as the curate step. All shingle sets
are held in memory, some 8 bytes per word of text; larger tables are for the step.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pajson
import pyarrow.parquet as pq
from numpy.typing import NDArray

from treespan.jobs.curate.config import NearDedupConfig
from treespan.jobs.curate.decide import decide
from treespan.jobs.curate.exact_dedup import exact_links
from treespan.jobs.curate.hot_buckets import distinct_edges, staying, tasks_of, tile_edges
from treespan.jobs.curate.near_dedup import bucket_pairs, jaccard_of_pairs, unique_pairs
from treespan.jobs.curate.scratch import EDGES, KEYS
from treespan.jobs.curate.shingles import shingles
from treespan.jobs.curate.signature import band_keys, signature
from treespan.platform.errors import UserError

BATCH_ROWS = 512

PAIRS = pa.schema([("a", pa.string()), ("b", pa.string()), ("similarity", pa.float64())])
DROPPED = pa.schema(
    [
        ("id", pa.string()),
        ("rule", pa.string()),
        ("kept_id", pa.string()),
        ("similarity", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Texts:
    """What comparing needs of a table: per text its content, its shingle set and its bands."""

    ids: pa.Array
    sizes: NDArray[np.int64]
    sha256: NDArray[np.uint8]
    """uint8 [texts, 32]"""
    values: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    """Set i is ``values[offsets[i]:offsets[i + 1]]``, sorted and without repeats."""
    bands: NDArray[np.uint64]
    """uint64 [texts, bands]"""

    @property
    def contents(self) -> NDArray[np.uint64]:
        """The first 8 bytes of each hash: uint64 [texts]."""
        return np.ascontiguousarray(self.sha256[:, :8]).view(">u8").ravel().astype(np.uint64)


@dataclass(frozen=True)
class Deduplicated:
    """What stays, what goes for what, and every verified pair."""

    kept: pa.Array
    dropped: pa.Table
    pairs: pa.Table
    candidate_pairs: int


def dedup_file(table: Path, target: Path, config: NearDedupConfig, threads: int) -> dict[str, Any]:
    """Deduplicate a Parquet or JSON lines file; write three Parquet files into ``target``.

    ``kept.parquet`` (id), ``dropped.parquet`` (id, rule, kept_id, similarity), ``pairs.parquet``
    (a, b, similarity: each verified pair once; of equal texts the first one stands for all).
    Returns counts. Raises ``UserError`` for a table that cannot be read.
    """
    texts = read_texts(read_batches(table), config, threads)
    if texts.ids.null_count or len(texts.ids.unique()) < len(texts.ids):
        raise UserError(
            f"table {table} has ids that are missing or repeat.", "Give each text its own."
        )
    found = dedup_texts(texts, config)
    target.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"id": found.kept}), target / "kept.parquet")
    pq.write_table(found.dropped, target / "dropped.parquet")
    pq.write_table(found.pairs, target / "pairs.parquet")
    rules = found.dropped["rule"]
    return {
        "texts": len(texts.ids),
        "kept": len(found.kept),
        "exact_duplicates": pc.sum(pc.equal(rules, "exact-duplicate")).as_py() or 0,
        "near_duplicates": pc.sum(pc.equal(rules, "near-duplicate")).as_py() or 0,
        "candidate_pairs": found.candidate_pairs,
        "similar_pairs": found.pairs.num_rows,
    }


def read_batches(table: Path) -> Iterator[tuple[pa.Array, pa.Array]]:
    """(ids, texts as bytes) of a table with a column ``content`` and ``id``, or ``repo`` and ``path``."""
    try:
        if table.suffix in (".parquet", ".pq"):
            with pq.ParquetFile(table) as file:
                names = _columns(file.schema_arrow.names, table)
                for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
                    yield _ids(batch), batch["content"].cast(pa.large_binary())
            return
        options = pajson.ReadOptions(use_threads=False, block_size=32 << 20)
        with pajson.open_json(table, read_options=options) as reader:
            _columns(reader.schema.names, table)
            for batch in reader:
                yield _ids(batch), batch["content"].cast(pa.large_binary())
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(
            f"table {table} cannot be read ({str(error).splitlines()[0]}).",
            "Give a Parquet file, or JSON lines with one object per line.",
        ) from None


def read_texts(
    batches: Iterable[tuple[pa.Array, pa.Array]], config: NearDedupConfig, threads: int
) -> Texts:
    """All texts, hashed by ``threads`` threads: the kernels leave Python's lock alone."""
    parts: list[_Batch] = []
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Future[_Batch]] = deque()
        for ids, contents in batches:
            pending.append(pool.submit(_read_batch, ids, contents, config))
            # The pool would take in the whole table at once.
            if len(pending) > 2 * threads:
                parts.append(pending.popleft().result())
        parts += [future.result() for future in pending]
    sets = [hashes for part in parts for hashes in part.sets]
    return Texts(
        ids=pa.concat_arrays([pa.array([], pa.string()), *(part.ids for part in parts)]),
        sizes=np.array([size for part in parts for size in part.sizes], dtype=np.int64),
        sha256=np.frombuffer(b"".join(p.sha256 for p in parts), dtype=np.uint8).reshape(-1, 32),
        values=np.concatenate([np.empty(0, dtype=np.uint64), *sets]),
        offsets=np.cumsum([0] + [len(hashes) for hashes in sets], dtype=np.int64),
        bands=np.concatenate(
            [np.empty((0, config.bands), dtype=np.uint64), *(part.bands for part in parts)]
        ),
    )


def dedup_texts(texts: Texts, config: NearDedupConfig) -> Deduplicated:
    """Find, verify and decide, as the curate step does; the first id stays of equals."""
    number = np.arange(len(texts.ids), dtype=np.uint64)
    copies = exact_links(texts.contents, number)
    candidates, hot = _propose(texts, config)
    similar = _verified(texts, candidates, config.threshold)
    edges = pa.concat_tables([_edges(copies, None), similar])
    keys = _keys(texts)
    drops = decide(edges, keys)
    while len(hot):
        tiles = [tile for task in tasks_of(staying(hot, drops), len(number)) for tile in task]
        again = [_again(texts, *tile, config.threshold) for tile in tiles]
        more = distinct_edges(pa.concat_tables([edges, *again]))
        if more.num_rows == edges.num_rows:
            break
        edges = more
        drops = decide(edges, keys)
    kept = np.setdiff1d(number, drops["ref"].to_numpy())
    rows = edges.filter(pc.is_valid(edges["similarity"]))
    named = [texts.ids.take(rows[name].combine_chunks()) for name in ("a", "b")]
    return Deduplicated(
        texts.ids.take(pa.array(kept)),
        pa.table([texts.ids.take(drops["ref"].combine_chunks()), *_named(drops)], schema=DROPPED),
        pa.table([*named, rows["similarity"]], schema=PAIRS),
        len(candidates),
    )


@dataclass(frozen=True)
class _Batch:
    ids: pa.Array
    sizes: list[int]
    sha256: bytes
    sets: list[NDArray[np.uint64]]
    bands: NDArray[np.uint64]


def _read_batch(ids: pa.Array, contents: pa.Array, config: NearDedupConfig) -> _Batch:
    texts = [text or b"" for text in contents.to_pylist()]
    sets = [shingles(text) for text in texts]
    signatures = np.stack([signature(hashes) for hashes in sets])
    return _Batch(
        ids,
        [len(text) for text in texts],
        b"".join(hashlib.sha256(text).digest() for text in texts),
        sets,
        band_keys(signatures, config.bands, config.rows),
    )


def _propose(
    texts: Texts, config: NearDedupConfig
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Candidate pairs and the members of hot buckets; a text without words meets nobody."""
    sizes = np.diff(texts.offsets).astype(np.uint32)
    some = np.flatnonzero(sizes)
    proposed = bucket_pairs(
        texts.bands[some].ravel(),
        np.repeat(sizes[some], config.bands),
        np.repeat(texts.contents[some], config.bands),
        np.repeat(some.astype(np.uint64), config.bands),
        config.threshold,
    )
    return proposed.pairs, unique_pairs(proposed.hot)


def _verified(texts: Texts, pairs: NDArray[np.uint64], threshold: float) -> pa.Table:
    first, second = (np.ascontiguousarray(pairs[:, i]).astype(np.int64) for i in (0, 1))
    similarity = jaccard_of_pairs(texts.values, texts.offsets, first, second)
    enough = similarity >= threshold
    return _edges(pairs[enough], similarity[enough])


def _again(texts: Texts, first: int, refs: NDArray[np.uint64], threshold: float) -> pa.Table:
    sets = [texts.values[texts.offsets[ref] : texts.offsets[ref + 1]] for ref in refs.astype(int)]
    offsets = np.cumsum([0] + [len(hashes) for hashes in sets], dtype=np.int64)
    return tile_edges(np.concatenate(sets), offsets, first, refs, threshold)


def _edges(pairs: NDArray[np.uint64], similarity: NDArray[np.float64] | None) -> pa.Table:
    values = pa.nulls(len(pairs), pa.float64()) if similarity is None else pa.array(similarity)
    return pa.Table.from_arrays(
        [pa.array(pairs[:, 0]), pa.array(pairs[:, 1]), values], schema=EDGES
    )


def _keys(texts: Texts) -> pa.Table:
    rows = len(texts.ids)
    same: dict[str, Any] = {
        "repo": "",
        "language": "",
        "stars": -1,
        "test_files": 0,
        "licence_known": True,
        "known": False,
    }
    own = {
        "ref": np.arange(rows, dtype=np.uint64),
        "file_id": texts.ids,
        "path": texts.ids,
        "sha256": [digest.tobytes().hex() for digest in texts.sha256],
        "size": texts.sizes,
    }
    columns = {name: own.get(name, [same.get(name)] * rows) for name in KEYS.names}
    return pa.table(columns, schema=KEYS)


def _named(drops: pa.Table) -> Sequence[pa.ChunkedArray]:
    return [drops["rule"], drops["matched_id"], drops["similarity"]]


def _columns(present: Sequence[str], table: Path) -> list[str]:
    for names in (["id", "content"], ["repo", "path", "content"]):
        if set(names) <= set(present):
            return names
    raise UserError(
        f"table {table} has the columns {', '.join(present)}.",
        "It needs 'content' and 'id', or 'content', 'repo' and 'path'.",
    )


def _ids(batch: pa.RecordBatch) -> pa.Array:
    if "id" in batch.schema.names:
        return batch["id"].cast(pa.string())
    names = [batch[name].cast(pa.string()) for name in ("repo", "path")]
    return pc.binary_join_element_wise(*names, "/")


def told(counts: dict[str, Any]) -> str:
    """The counts in one line."""
    return (
        f"{counts['kept']:,} of {counts['texts']:,} texts kept; "
        f"{counts['exact_duplicates']:,} exact and {counts['near_duplicates']:,} near duplicates; "
        f"{counts['similar_pairs']:,} of {counts['candidate_pairs']:,} candidate pairs are similar"
    )
