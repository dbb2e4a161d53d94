"""``python -m benchmarks.tokenizers.memory --store STORE --megabytes 100``: memory of training.

One process, so that its peak is that of one training: run it once for each size.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

from benchmarks.tokenizers.__main__ import File, split

from treespan.jobs.tokenize.config import TokenizeConfig
from treespan.model.tokenizer import train
from treespan.platform.draws import uniform
from treespan.platform.store import Store


def main() -> None:
    """Print the peak before and after."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokenizers.memory")
    parser.add_argument("--store", required=True, help="store of a finished run")
    parser.add_argument("--megabytes", type=float, default=100)
    arguments = parser.parse_args()
    store = Store(arguments.store)
    files, _ = split(store)
    share = arguments.megabytes * 1e6 / sum(file.size for file in files)
    drawn = [file for file in files if uniform("memory", file.file_id) < share]
    before, started = _peak_megabytes(), time.perf_counter()
    train(
        _stream(store, drawn),
        vocab_size=49_152,
        special_tokens=TokenizeConfig().fim_format.special_tokens(),
    )
    print(
        f"{sum(file.size for file in drawn) / 1e6:.0f} MB of text in "
        f"{time.perf_counter() - started:.0f} s; peak {before:.0f} MB before, "
        f"{_peak_megabytes():.0f} MB after"
    )


def _stream(store: Store, files: list[File]) -> Iterator[str]:
    part, column = "", None
    for file in files:  # in the order of their tables
        if file.part != part:
            part, column = file.part, store.read_table(file.part, ["content"])["content"]
        assert column is not None
        yield column[file.row].as_py()


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
