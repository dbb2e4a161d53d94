"""text-dedup 0.4.1: its MinHash command with the check of false positives on.

Bands by its own optimiser. It always lowers case; a file of few words is kept as here.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

from benchmarks.dedup.peers.exchange import (
    WORDS,
    read_ids,
    read_task,
    write_clusters,
    write_kept,
)
from datasets import load_from_disk

CONFIG = """
[input]
input_type = "local_files"
file_type = "parquet"

[input.read_arguments]
path = "parquet"
data_files = {files}
split = "train"

[algorithm]
algorithm_name = "minhash"
text_column = "text"
num_perm = 256
ngram_size = 5
threshold = {threshold}
min_length = 1
check_false_positive = true
num_proc = {workers}

[output]
output_dir = {output}
save_clusters = true
clean_cache = false

[debug]
"""


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    parts = sorted((task.tables / WORDS).glob("*.parquet"))
    output = task.out / "dataset"
    config = CONFIG.format(
        files=json.dumps([str(part) for part in parts]),
        output=json.dumps(str(output)),
        threshold=task.threshold,
        workers=task.workers,
    )
    (task.out / "config.toml").write_text(config)
    subprocess.run([sys.executable, "-m", "text_dedup.minhash"], cwd=task.out, check=True)
    ids = [id for part in parts for id in read_ids(part)]
    with (output / "clusters.pickle").open("rb") as file:
        clusters: dict[int, int] = pickle.load(file)
    write_clusters(task.out, {ids[row]: cluster for row, cluster in clusters.items()})
    write_kept(task.out, load_from_disk(str(output))["id"])


if __name__ == "__main__":
    main()
