"""data-prep-kit's ``fdedup`` on its Python runtime: 25 bands of 10, checked by the estimate.

It lowers case, and hands back the files that it keeps.
"""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.dedup.peers.exchange import WORDS, read_task, write_kept


def main() -> None:
    """Find near duplicates among the files of the task."""
    task = read_task()
    files = task.out / "files"
    files.mkdir()
    ids: list[str] = []
    for part in sorted((task.tables / WORDS).glob("*.parquet")):
        table = pq.read_table(part)
        numbers = pa.array(range(len(ids), len(ids) + len(table)), pa.int64())
        ids += table["id"].to_pylist()
        texts = table["text"].cast(pa.string())
        pq.write_table(pa.table({"int_id_column": numbers, "contents": texts}), files / part.name)
    options = {
        "input_folder": files,
        "output_folder": task.out / "found",
        "operation_mode": "filter_duplicates",
        "contents_column": "contents",
        "num_permutations": 256,
        "num_bands": 25,
        "num_minhashes_per_band": 10,
        "word_shingle_size": 5,
        "jaccard_similarity_threshold": task.threshold,
    }
    command = [sys.executable, "-m", "dpk_fdedup.transform_python"]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    subprocess.run(command, cwd=task.out, check=True)
    kept: list[int] = []
    for part in sorted((task.out / "found" / "cleaned").glob("*.parquet")):
        kept += pq.read_table(part, columns=["int_id_column"])["int_id_column"].to_pylist()
    write_kept(task.out, (ids[number] for number in kept))


if __name__ == "__main__":
    main()
