"""The global part of curation, on the driver: links to decisions, one table per partition.

The driver holds what concerns duplicates only: their links and keys, some hundred bytes for each
duplicate file. Once the decisions are stored, a run that is resumed starts behind them.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.exact_dedup import Key, choose_exact
from treespan.jobs.curate.links import Links, find_links
from treespan.jobs.curate.near_dedup import choose_near, components
from treespan.jobs.curate.repositories import decide_repositories
from treespan.jobs.curate.scratch import DROPS, PARTITION_SHIFT, ROW_MASK
from treespan.jobs.curate.verify import verify_pairs
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import batches, part_name
from treespan.platform.steps import Context
from treespan.platform.store import Store

DONE = "drops/done.json"


def decide_duplicates(
    context: Context, screened: Sequence[Receipt], config: CurateConfig
) -> Receipt:
    """Write ``work/drops/part-*.arrow``, ``work/gone/part-*.arrow`` and ``repositories.arrow``.

    Counts ``near_dedup`` and ``repository_rules``.
    """
    store, work = context.store, context.work
    if store.exists(f"{work}/{DONE}"):
        return Receipt.from_dict(store.read_json(f"{work}/{DONE}"))
    partitions = len(screened)
    rows = sum(receipt.counts["meetings"] for receipt in screened)
    # An empty table would give Ray Data a block without columns.
    tables = [
        f"{work}/meetings/{part_name(partition)}"
        for partition, receipt in enumerate(screened)
        if receipt.counts["meetings"]
    ]
    threshold = config.near_dedup.threshold
    links = find_links(store, tables, rows, threshold) if rows else Links()
    similar = verify_pairs(context, links.candidates, threshold)
    pairs = np.array(list(similar), dtype=np.uint64).reshape(-1, 2)
    refs = np.unique(np.concatenate([links.exact.ravel(), pairs.ravel()]))
    keys = read_keys(store, work, refs)
    copies = (keys[int(ref)] for ref in np.unique(links.exact))
    verdicts, judged = decide_repositories(store, context.folder, work, partitions, copies, config)
    drops = decide(links.exact, similar, keys, verdicts.gone) if config.exact_dedup else {}
    write_drops(store, work, partitions, drops)
    near = {
        "candidate_pairs": len(links.candidates),
        "similar_pairs": len(pairs),
        "clusters": len(np.unique(components(pairs)[1])),
        "pairs_left_out": links.skipped,
    }
    receipt = Receipt(judged.files, {"near_dedup": near, "repository_rules": judged.counts})
    store.write_json(f"{work}/{DONE}", receipt.to_dict())
    return receipt


def decide(
    exact: NDArray[np.uint64],
    similar: Mapping[tuple[int, int], float],
    keys: Mapping[int, Key],
    gone: Container[str] = (),
) -> dict[int, dict[str, Any]]:
    """Dropped ref -> its rule, the id of the file that stays, and the similarity to that.

    Exact duplicates go first; then the one that stays of each group takes the group's place among
    the near duplicates. (It may go there, so an exact duplicate may name a file that is dropped
    too: the ledger has a row for each.) Files of the repositories ``gone`` neither win nor lose:
    they are dropped with their repository, and nothing may be dropped for their sake.
    """
    copies, winners = choose_exact(((int(a), int(b)) for a, b in exact), keys, gone)
    pairs = {}
    for ends, similarity in similar.items():
        a, b = (winners.get(ref, ref) for ref in ends)
        if keys[a].repo not in gone and keys[b].repo not in gone:
            pairs[a, b] = similarity
    near = choose_near(pairs, keys)
    drops = {
        ref: {"rule": "exact-duplicate", "matched_id": keys[stays].file_id, "similarity": 1.0}
        for ref, stays in copies.items()
    }
    for ref, (stays, similarity) in near.items():
        drops[ref] = {
            "rule": "near-duplicate",
            "matched_id": keys[stays].file_id,
            "similarity": similarity,
        }
    return drops


def read_keys(store: Store, work: str, refs: NDArray[np.uint64]) -> dict[int, Key]:
    """The keys of ``refs`` (sorted, unique), from the parts that hold them."""
    found: dict[int, Key] = {}
    names = list(Key.__dataclass_fields__)
    for partition in np.unique(refs >> np.uint64(PARTITION_SHIFT)):
        table = store.read_table(f"{work}/keys/{part_name(int(partition))}", columns=names)
        wanted = np.isin(table["ref"].to_numpy(), refs)
        for row in table.filter(pa.array(wanted)).to_pylist():
            found[row["ref"]] = Key(**row)
    return found


def write_drops(
    store: Store, work: str, partitions: int, drops: Mapping[int, Mapping[str, Any]]
) -> None:
    """One ``DROPS`` table per partition, empty where nothing is dropped; sorted by row."""
    of: list[list[dict[str, Any]]] = [[] for _ in range(partitions)]
    for ref in sorted(drops):
        of[ref >> PARTITION_SHIFT].append({"row": ref & ROW_MASK, **drops[ref]})
    for partition, rows in enumerate(of):
        store.write_table(f"{work}/drops/{part_name(partition)}", DROPS, batches(DROPS, rows))
