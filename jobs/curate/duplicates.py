"""The global part of curation: from meetings to decisions on repositories and on duplicate files.

Every stage is a map over tables in the store or a shuffle of them, and leaves receipts, so a run
that is resumed goes on behind the stages that are done. The driver holds the refs of exact
duplicates and a row per repository; pairs and components only as long as they are few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.components import group_edges
from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.decide import decide
from treespan.jobs.curate.hot_buckets import ask_again, hot_members
from treespan.jobs.curate.known import KnownPart, name_of
from treespan.jobs.curate.links import find_links, rows_of_kind
from treespan.jobs.curate.near_dedup import unique_pairs
from treespan.jobs.curate.repositories import decide_repositories
from treespan.jobs.curate.scratch import DECIDED, EDGES, EXACT, KEYS, PARTITION_SHIFT, make_ref
from treespan.jobs.curate.verify import candidate_chunks, verify_pairs
from treespan.platform.partitions import Receipt, map_partitions, read_receipt
from treespan.platform.schemas import part_name
from treespan.platform.shuffle import tables_of, total
from treespan.platform.steps import Context
from treespan.platform.store import Store

PAIRS_ON_DRIVER = 10_000_000
"""Pairs and edges that the driver sorts and joins itself, some hundred bytes each (ours). More are
left to Ray; what comes out is the same."""

DONE = "decided.json"


def decide_duplicates(
    context: Context,
    screened: Sequence[Receipt],
    known: Sequence[KnownPart],
    partitions: int,
    config: CurateConfig,
) -> Receipt:
    """Write ``repositories.arrow`` and, below ``work``, who is gone and ``decided`` duplicates.

    ``screened`` are the receipts of the ``partitions`` and of the parts ``known`` from earlier
    corpora. Counts ``near_dedup``, ``repository_rules`` and the tables in ``decided``.
    """
    store, work = context.store, context.work
    done = read_receipt(store, f"{work}/{DONE}")
    if done is not None:
        return done
    meetings = [
        f"{work}/meetings/{part_name(number)}"
        for number, receipt in enumerate(screened)
        if receipt.counts["meetings"]
    ]
    threshold = config.near_dedup.threshold
    rows = total(screened, "meetings")
    links = find_links(context, meetings, rows, threshold, make_ref(partitions, 0))
    chunks, candidates = candidate_chunks(context, links, PAIRS_ON_DRIVER)
    similar = verify_pairs(context, chunks, threshold, known)
    copies = copies_of(store, work, links, partitions)
    verdicts, judged = decide_repositories(store, context.folder, work, partitions, copies, config)

    similar_pairs = total(similar, "similar")
    decided: list[Receipt] = []
    members = hot_members(context, links)
    found = np.empty((0, 2), dtype=np.uint64)
    rounds = 0
    while config.exact_dedup:
        decided = decide_groups(context, f"decide-{rounds}", links, similar, known, verdicts.gone)
        if not len(members):
            break
        table = _read(store, tables_of(decided), DECIDED, ["ref", "rule", "matched"])
        again = ask_again(context, rounds, members, table, threshold, known)
        rounds += 1
        edges = _read(store, tables_of(again), EDGES)
        ends = np.stack([edges["a"].to_numpy(), edges["b"].to_numpy()], axis=1)
        before, found = len(found), unique_pairs(np.concatenate([found, ends]))
        if len(found) == before:
            break
        similar = [*similar, *again]
    near = {
        "candidate_pairs": candidates,
        "similar_pairs": similar_pairs + len(found),
        "hot_bucket_members": len(members),
        "pairs_deferred": total(links, "deferred"),
        "rounds_of_hot_buckets": rounds,
    }
    counts = {
        "near_dedup": near,
        "repository_rules": judged.counts,
        "decided": tables_of(decided),
    }
    receipt = Receipt(judged.files, counts)
    store.write_json(f"{work}/{DONE}", receipt.to_dict())
    return receipt


def decide_groups(
    context: Context,
    label: str,
    links: Sequence[Receipt],
    similar: Sequence[Receipt],
    known: Sequence[KnownPart],
    gone: Iterable[str],
) -> list[Receipt]:
    """Decide on every connected component; tables of ``DECIDED`` in ``work/LABEL``."""
    store, work = context.store, context.work
    exact = [name for receipt in links if receipt.counts["exact"] for name in tables_of([receipt])]
    edges = total(links, "exact") + total(similar, "similar")
    groups = group_edges(
        context, f"{label}/groups", [*exact, *tables_of(similar)], edges, PAIRS_ON_DRIVER
    )
    names = sorted(gone)

    def decide_group(number: int) -> Receipt:
        table = store.read_table(groups[number])
        refs = np.unique(np.concatenate([table["a"].to_numpy(), table["b"].to_numpy()]))
        keys = read_keys(store, work, refs)
        drops = decide(table, keys, names, lambda ref, repo, path: name_of(known, ref, repo, path))
        target = f"{work}/{label}/decided/{part_name(number)}"
        entry = store.write_table(target, DECIDED, drops.to_batches())
        return Receipt([entry], {})

    return map_partitions(context, label, decide_group, len(groups))


def copies_of(
    store: Store, work: str, links: Sequence[Receipt], partitions: int
) -> Iterator[tuple[str, str]]:
    """(hash, repository) of all contents of this corpus that occur more than once."""
    found = [np.empty((0, 2), dtype=np.uint64)]
    found += [rows_of_kind(store.read_table(name), EXACT) for name in tables_of(links)]
    refs = np.unique(np.concatenate(found))
    here = refs[refs < make_ref(partitions, 0)]
    keys = read_keys(store, work, here, ["ref", "sha256", "repo"])
    for row in keys.group_by(["sha256", "repo"]).aggregate([]).to_pylist():
        yield row["sha256"], row["repo"]


def read_keys(
    store: Store, work: str, refs: NDArray[np.uint64], columns: Sequence[str] = KEYS.names
) -> pa.Table:
    """The ``KEYS`` of ``refs`` (sorted, unique), from the parts that hold them."""
    found = [KEYS.empty_table().select(list(columns))]
    for partition in np.unique(refs >> np.uint64(PARTITION_SHIFT)):
        table = store.read_table(f"{work}/keys/{part_name(int(partition))}", list(columns))
        found.append(table.filter(pa.array(np.isin(table["ref"].to_numpy(), refs))))
    return pa.concat_tables(found).combine_chunks()


def read_decided(store: Store, tables: Sequence[str], partition: int) -> dict[int, dict[str, Any]]:
    """The duplicates of a partition by ref."""
    found: dict[int, dict[str, Any]] = {}
    bounds = np.array([make_ref(partition, 0), make_ref(partition + 1, 0)], dtype=np.uint64)
    for name in tables:
        table = store.read_table(name)
        start, end = np.searchsorted(table["ref"].to_numpy(), bounds)
        found.update((row["ref"], row) for row in table.slice(start, end - start).to_pylist())
    return found


def _read(
    store: Store, tables: Sequence[str], schema: pa.Schema, columns: list[str] | None = None
) -> pa.Table:
    chosen = schema.names if columns is None else columns
    found = [store.read_table(name, chosen) for name in tables]
    return pa.concat_tables([schema.empty_table().select(chosen), *found]).combine_chunks()
