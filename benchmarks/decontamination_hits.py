"""How often decontamination hits clean code, what it finds of the benchmarks, and how fast.

    python benchmarks/decontamination_hits.py EVAL_DATA [--every N]

``EVAL_DATA`` is a folder of known benchmark sets. Clean code is the standard library and the
installed packages of the running interpreter (of these every Nth file). A benchmark text counts as
found if scanning it alone gives a hit. Common runs are not excused here, as a corpus of many
repositories would excuse them, so shares of hits are upper bounds.
"""

from __future__ import annotations

import argparse
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from treespan.jobs.decontaminate.benchmarks import Item, read_items
from treespan.jobs.decontaminate.config import BenchmarkSource, DecontaminateConfig
from treespan.jobs.decontaminate.index import Index, build_index
from treespan.jobs.decontaminate.scan import longest_run, scan

SETTINGS: dict[str, dict[str, int]] = {
    "plain 10-grams": {"min_names": 0, "max_problems": 10**9},
    "default": {},
    "min_names: 5": {"min_names": 5},
    "ngram: 13": {"ngram": 13},
}


def is_hit(text: bytes, index: Index, near_containment: float | None) -> bool:
    """Whether either rule would take a file with this text."""
    hits = scan(text, index, near_containment)
    common = np.zeros(len(index.runs.offsets) - 1, np.bool_)
    return hits.near_item >= 0 or longest_run(hits, index, common) is not None


def python_files(folder: str, every: int) -> list[bytes]:
    """Every Nth Python file below ``folder``, by name; not what is installed into a subfolder."""
    base = Path(folder)
    paths = sorted(
        path
        for path in base.rglob("*.py")
        if path.is_file() and "site-packages" not in path.relative_to(base).parts
    )
    return [path.read_bytes() for path in paths[::every]]


def found(items: Sequence[Item], benchmark: str, index: Index) -> str:
    """``a of b`` items of ``benchmark`` of which some part is found by itself."""
    texts = [item.parts for item in items if item.benchmark == benchmark]
    hit = sum(any(is_hit(text, index, None) for text in parts) for parts in texts)
    return f"{hit} of {len(texts)}"


def main() -> None:
    """Print one row per setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("eval_data", help="folder of benchmark sets")
    parser.add_argument("--every", type=int, default=4, help="take every Nth installed file")
    arguments = parser.parse_args()
    source = BenchmarkSource(path=arguments.eval_data)
    items = read_items([source])
    corpora = {
        "standard library": python_files(sysconfig.get_path("stdlib"), 1),
        "installed packages": python_files(sysconfig.get_path("purelib"), arguments.every),
    }
    benchmarks = sorted({item.benchmark for item in items})
    print(f"{len(items):,} items of {', '.join(benchmarks)}")
    print(f"{', '.join(f'{name}: {len(texts):,} files' for name, texts in corpora.items())}")
    for name, changes in SETTINGS.items():
        config = DecontaminateConfig(benchmarks=(source,), **changes)
        started = time.perf_counter()
        index = build_index(items, config)
        built = time.perf_counter() - started
        said = [f"{len(index.runs.offsets) - 1:,} runs", f"index {built:.1f} s"]
        for corpus, texts in corpora.items():
            started = time.perf_counter()
            hits = sum(is_hit(text, index, config.near_containment) for text in texts)
            rate = sum(map(len, texts)) / 1e6 / (time.perf_counter() - started)
            said.append(f"{corpus} {hits / len(texts):.2%} at {rate:.0f} MB/s")
        said += [f"{which} {found(items, which, index)}" for which in benchmarks]
        print(f"{name}: {'; '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
