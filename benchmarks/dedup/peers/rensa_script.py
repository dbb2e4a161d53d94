"""A plain script on rensa: its R-MinHash, a dictionary of 25 bands of 10, pairs by the estimate.

Its faster ``rho`` digests are not used: their estimates are up to 0.18 too high.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow.parquet as pq
from benchmarks.dedup.peers.exchange import FILES, keep_first, read_task, write_kept, write_pairs
from benchmarks.dedup.peers.plain_words import shingles
from rensa import RMinHash

PERMUTATIONS = 256
BANDS, ROWS = 25, 10


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    table = pq.read_table(task.tables / FILES, columns=["id", "content"])
    ids = table["id"].to_pylist()
    sets = [shingles(content.as_py().encode()) for content in table["content"]]
    digests = RMinHash.digest_matrix_from_token_byte_sets(sets, PERMUTATIONS, 42)
    signatures = np.array(digests.to_rows(), dtype=np.uint32)
    meet: set[tuple[int, int]] = set()
    for band in range(BANDS):
        buckets: dict[bytes, list[int]] = {}
        for i, row in enumerate(signatures[:, band * ROWS : (band + 1) * ROWS]):
            if sets[i]:
                buckets.setdefault(row.tobytes(), []).append(i)
        for bucket in buckets.values():
            meet.update(combinations(bucket, 2))
    pairs = [
        (ids[a], ids[b])
        for a, b in meet
        if np.mean(signatures[a] == signatures[b]) >= task.threshold
    ]
    write_pairs(task.out, pairs)
    write_kept(task.out, keep_first(ids, pairs))


if __name__ == "__main__":
    main()
