"""The sampling step on Ray Data: partition by partition, each with whole repositories."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter
from collections.abc import Sequence
from functools import partial

import pyarrow.compute as pc

from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.documents import Mix
from treespan.jobs.sample.holdout import Holdout, choose_holdout
from treespan.jobs.sample.partition import sample_partition
from treespan.jobs.sample.selection import RULES, STEP
from treespan.jobs.sample.statistics import add_sums, statistics
from treespan.jobs.sample.strategies import STRATEGIES, Strategy, load_strategy
from treespan.platform.ledger import merge_funnels
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import DOCUMENTS, LEDGER, batches, part_name
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import Store


def make_step(config: SampleConfig, files_from: str = "curate") -> Step:
    """``documents/`` (what to train on, in order), ``heldout/`` (the files kept apart), and
    ``ledger/`` (the files that language rates and the repository cap leave out).

    ``files_from`` names the step that has the files. Raises ``UserError`` for a strategy that cannot
    be loaded.
    """
    mix = make_mix(config)
    own = {
        name: _source_hash(strategy)
        for name, strategy in mix.strategies.items()
        if name not in STRATEGIES
    }
    return Step(
        name=STEP,
        version=2,
        params={**config.to_dict(), "plugins": own},
        inputs=(files_from, "graph"),
        run=partial(_run, config, mix, files_from),
    )


def make_mix(config: SampleConfig) -> Mix:
    """The strategies that have a weight, by name: the order in a recipe must not matter."""
    weights = {name: weight for name, weight in sorted(config.strategies.items()) if weight}
    return Mix(
        {name: load_strategy(name) for name in weights},
        list(weights.values()),
        config.max_block_files,
    )


def _source_hash(strategy: Strategy) -> str:
    """Of the module of ``strategy``, so that the step runs again when it is changed."""
    module = inspect.getmodule(strategy)
    return hashlib.sha256(inspect.getsource(module or strategy).encode()).hexdigest()


def _run(config: SampleConfig, mix: Mix, files_from: str, context: Context) -> Result:
    store, folder = context.store, context.folder
    parts = context.inputs[files_from].files("files")
    edge_parts = context.inputs["graph"].files("edges")
    repos: set[str] = set()
    for part in parts:
        repos.update(pc.unique(store.read_table(part, ["repo"])["repo"]).to_pylist())
    holdout = choose_holdout(config.seed, config.heldout_share, repos)

    def sample(partition: int) -> Receipt:
        sources = parts[partition], edge_parts[partition]
        return _sample_part(store, folder, sources, partition, config, mix, holdout)

    receipts = map_partitions(context, STEP, sample, len(parts))
    totals = _summed(receipts, "totals")
    counts = {
        "repositories": len(repos),
        "heldout_repositories": sum(holdout.holds(repo) for repo in repos),
        **{name: totals[name] for name in ("documents", "files", "bytes", "heldout_files")},
        "files_by_strategy": dict(sorted(_summed(receipts, "strategies").items())),
        "bytes_by_language": _largest_first(_summed(receipts, "bytes_by_language")),
        "bytes_by_language_given": _largest_first(_summed(receipts, "given_bytes")),
        "left_out": merge_funnels((receipt.counts["left_out"] for receipt in receipts), RULES),
        "statistics": statistics(
            add_sums(receipt.counts["sums"] for receipt in receipts),
            add_sums(receipt.counts["random_sums"] for receipt in receipts),
        ),
    }
    return Result(files_of(receipts), counts)


def _sample_part(
    store: Store,
    folder: str,
    sources: tuple[str, str],
    partition: int,
    config: SampleConfig,
    mix: Mix,
    holdout: Holdout,
) -> Receipt:
    files, edges = (store.read_table(part) for part in sources)
    sampled = sample_partition(files, edges, config, mix, holdout)
    name = part_name(partition)
    tables = (
        ("documents", DOCUMENTS, sampled.documents),
        ("heldout", DOCUMENTS, sampled.heldout),
        ("ledger", LEDGER, sampled.decisions),
    )
    written = [
        store.write_table(f"{folder}/{table}/{name}", schema, batches(schema, rows))
        for table, schema, rows in tables
    ]
    return Receipt(written, sampled.counts())


def _summed(receipts: Sequence[Receipt], name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for receipt in receipts:
        total.update(receipt.counts[name])
    return total


def _largest_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
