"""The decontaminate step: scan every partition, see which runs are common, publish every partition.

Workers scan with an index of hashes. How many repositories hold a run is only known when all are
scanned, so what is decided on is stored between the two passes: places and hashes, never text.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.decontaminate.benchmarks import fingerprint, read_items
from treespan.jobs.decontaminate.config import DecontaminateConfig
from treespan.jobs.decontaminate.index import Index, build_index, write_index
from treespan.jobs.decontaminate.partition import (
    NEAR,
    NGRAM,
    STEP,
    publish_partition,
    scan_partition,
)
from treespan.platform.errors import UserError
from treespan.platform.ledger import merge_accounts
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import part_name
from treespan.platform.steps import Context, Result, Step


def make_step(config: DecontaminateConfig, files_from: str = "curate") -> Step:
    """The files of ``files_from`` that hold no benchmark, and ``ledger/part-*.arrow``."""
    return Step(
        name=STEP,
        version=2,
        params=config.to_dict(),
        inputs=(files_from,),
        run=partial(run, config, files_from),
        fingerprint=lambda _: fingerprint(config.benchmarks),
    )


def run(config: DecontaminateConfig, files_from: str, context: Context) -> Result:
    """Decontaminate; counts hold input, output, the benchmarks, their hits, and the funnel."""
    tables = context.inputs[files_from].files("files")
    store, folder, work = context.store, context.folder, context.work
    index = build_index(read_items(config.benchmarks), config)
    write_index(store, f"{work}/index", index)

    def scan(partition: int) -> Receipt:
        return scan_partition(store, tables[partition], work, partition, config)

    scanned = map_partitions(context, "scan", scan, len(tables))
    repositories = _total(scanned, "repositories")
    common = common_runs(
        context, len(tables), len(index.runs.hashes), common_limit(config, repositories)
    )
    store.write_json(f"{work}/common.json", np.flatnonzero(common).tolist())

    def publish(partition: int) -> Receipt:
        return publish_partition(store, tables[partition], folder, work, partition, config)

    published = map_partitions(context, "publish", publish, len(tables))
    hits: Counter[str] = Counter()
    for receipt in published:
        hits.update(receipt.counts["hits"])
    counts = {
        "input_files": _total(scanned, "files"),
        "input_bytes": _total(scanned, "bytes"),
        "output_files": _total(published, "files"),
        "output_bytes": _total(published, "bytes"),
        "hit_files": sum(hits.values()),
        "benchmarks": _benchmarks(index, hits),
        "boilerplate_runs": index.boilerplate,
        "common_runs": int(common.sum()),
        "files_with_common_runs_only": _total(published, "spared"),
        **merge_accounts((receipt.counts for receipt in published), (NGRAM, NEAR)),
    }
    if not counts["output_files"]:
        raise UserError(
            f"no file is left after decontamination: {counts['hit_files']} of "
            f"{counts['input_files']} hold a benchmark.",
            "Set decontaminate.policy: report and look at the ledger.",
        )
    return Result(files_of(published), counts)


def common_limit(config: DecontaminateConfig, repositories: int) -> float:
    """A run in more repositories than this is common."""
    return max(config.common_repositories, config.common_share * repositories)


def common_runs(context: Context, partitions: int, runs: int, limit: float) -> NDArray[np.bool_]:
    """Which runs of the index are in too many repositories to be a leak: bool [runs]."""
    repositories = np.zeros(runs, dtype=np.int64)
    for partition in range(partitions):
        table = context.store.read_table(f"{context.work}/spread/{part_name(partition)}")
        repositories[table["run"].to_numpy()] += table["repositories"].to_numpy()
    common: NDArray[np.bool_] = repositories > limit
    return common


def _benchmarks(index: Index, hits: Counter[str]) -> dict[str, dict[str, int]]:
    """Of every benchmark: its items, and the files hit, by rule."""
    items = Counter(index.benchmarks)
    return {
        name: {"items": items[name], **{rule: hits[f"{name} {rule}"] for rule in (NGRAM, NEAR)}}
        for name in sorted(items)
    }


def _total(receipts: list[Receipt], name: str) -> int:
    return sum(receipt.counts[name] for receipt in receipts)
