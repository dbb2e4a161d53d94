"""A plain script on datasketch: ``MinHash.bulk`` and ``MinHashLSH``, as its manual has them."""

from __future__ import annotations

import pyarrow.parquet as pq
from benchmarks.dedup.peers.exchange import FILES, keep_first, read_task, write_kept, write_pairs
from benchmarks.dedup.peers.plain_words import shingles
from datasketch import MinHash, MinHashLSH

PERMUTATIONS = 256


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    table = pq.read_table(task.tables / FILES, columns=["id", "content"])
    ids = table["id"].to_pylist()
    sets = (shingles(content.as_py().encode()) for content in table["content"])
    lsh = MinHashLSH(threshold=task.threshold, num_perm=PERMUTATIONS)
    pairs: list[tuple[str, str]] = []
    for id, minhash in zip(ids, MinHash.bulk(sets, num_perm=PERMUTATIONS), strict=True):
        if not minhash.is_empty():
            pairs += [(other, id) for other in lsh.query(minhash)]
            lsh.insert(id, minhash)
    write_pairs(task.out, pairs)
    write_kept(task.out, keep_first(ids, pairs))


if __name__ == "__main__":
    main()
