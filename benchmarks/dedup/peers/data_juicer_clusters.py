"""Which files data-juicer's default mode takes for each other: its operator, called directly.

Its command tells two files of each cluster at most. Not timed.
"""

from __future__ import annotations

from benchmarks.dedup.peers.data_juicer import SETTINGS
from benchmarks.dedup.peers.exchange import WORDS, read_task, write_clusters
from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
from datasets import load_dataset


def main() -> None:
    """Write the clusters that the operator forms on the files of the task."""
    task = read_task()
    operator = DocumentMinhashDeduplicator(jaccard_threshold=task.threshold, **SETTINGS)
    data = load_dataset("parquet", data_files=str(task.tables / WORDS / "*.parquet"), split="train")
    hashed = data.map(operator.compute_hash, num_proc=task.workers)
    _, clusters = operator.process(hashed, show_num=len(data))
    write_clusters(
        task.out,
        {file["id"]: first for first, files in clusters.items() for file in files},
    )


if __name__ == "__main__":
    main()
