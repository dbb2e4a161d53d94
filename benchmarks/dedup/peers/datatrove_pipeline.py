"""datatrove: its four MinHash stages under the local executor.

It has no optimiser and no threshold: ``BUCKETS`` and ``HASHES`` in the environment say how the 256
hashes are split. It does not compare what met.
Normalisation is off; its English tokenizer splits some words further.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

from benchmarks.dedup.peers.exchange import (
    WORDS,
    Task,
    read_ids,
    read_task,
    write_clusters,
    write_kept,
)
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
)
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig

CONFIG = MinhashConfig(
    n_grams=5,
    num_buckets=int(os.environ["BUCKETS"]),
    hashes_per_bucket=int(os.environ["HASHES"]),
    norm_config=TextNormConfig(
        lowercase=False,
        remove_punctuation=False,
        norm_unicode_diacritics=False,
        norm_numbers=False,
    ),
    hash_config=HashConfig(precision=64),
)


def run_stages(task: Task, parts: int) -> None:
    """All four stages, one after the other, below ``task.out``."""
    signatures, buckets, clusters, kept = (
        str(task.out / name) for name in ("signatures", "buckets", "clusters", "kept")
    )
    reader = ParquetReader(str(task.tables / WORDS), text_key="text", id_key="id")
    stages = [
        ([reader, MinhashDedupSignature(signatures, config=CONFIG)], parts),
        ([MinhashDedupBuckets(signatures, buckets, config=CONFIG)], CONFIG.num_buckets),
        ([MinhashDedupCluster(buckets, clusters, config=CONFIG, save_cluster_id=True)], 1),
        ([reader, MinhashDedupFilter(clusters), JsonlWriter(kept, compression=None)], parts),
    ]
    for number, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline=pipeline,
            tasks=tasks,
            workers=task.workers,
            logging_dir=str(task.out / f"logs/{number}"),
        ).run()


def read_clusters(folder: Path, parts: list[Path]) -> dict[str, int]:
    """The clusters of stage 3: rank and position name a file."""
    clusters: dict[str, int] = {}
    for path in sorted(folder.glob("*.clusters")):
        ids = read_ids(parts[int(path.stem)])
        for position, cluster in struct.iter_unpack("<2I", path.read_bytes()):
            clusters[ids[position]] = cluster
    return clusters


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    parts = sorted((task.tables / WORDS).glob("*.parquet"))
    run_stages(task, len(parts))
    write_clusters(task.out, read_clusters(task.out / "clusters", parts))
    lines = (
        line
        for path in sorted((task.out / "kept").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    )
    write_kept(task.out, (json.loads(line)["id"] for line in lines))


if __name__ == "__main__":
    main()
