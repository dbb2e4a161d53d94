"""Which of the files that are duplicates of each other go: pure, for any set of whole components."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from treespan.jobs.curate.exact_dedup import by_rank, choose_exact
from treespan.jobs.curate.near_dedup import choose_near
from treespan.jobs.curate.scratch import DECIDED, GONE_CONTENT

Names = Callable[[int, str, str], str]
"""(ref, repo, path) to what the ledger calls a file of an earlier corpus, or nothing."""


def decide(
    edges: pa.Table, keys: pa.Table, gone: Iterable[str] = (), known_name: Names = lambda *_: ""
) -> pa.Table:
    """The ``DECIDED`` rows of ``edges`` (``EDGES``), given the ``KEYS`` of all refs in them.

    Exact duplicates go first; then the one that stays of each group takes the group's place among
    the near duplicates. (It may go there, so an exact duplicate may name a file that is dropped
    too: the ledger has a row for each.) Files of the repositories ``gone`` neither win nor lose:
    they are dropped with their repository, and nothing may be dropped for their sake. Where all
    files of a content are gone, each has a row of rule ``gone``. Files of earlier corpora never go.
    """
    ranked = by_rank(keys)
    refs = ranked["ref"].to_numpy()
    known = ranked["known"].to_numpy()
    here = pc.is_in(ranked["repo"], value_set=pa.array(sorted(gone), type=pa.string()))
    alive = known | ~here.to_numpy(zero_copy_only=False)
    stays = choose_exact(ranked["sha256"].combine_chunks(), alive)
    places = np.arange(len(refs))
    copies = np.flatnonzero(alive & (stays != places) & ~known)

    near = edges.filter(pc.is_valid(edges["similarity"]))
    first, second = (stays[_places(refs, near[name].to_numpy())] for name in ("a", "b"))
    # What won stands for its content; a content that is gone with all its repositories is out.
    met = (first >= 0) & (second >= 0) & (first != second)
    goes_for, similarity = choose_near(
        first[met], second[met], near["similarity"].to_numpy()[met], len(refs), int(known.sum())
    )
    similar = np.flatnonzero(goes_for >= 0)

    nowhere = np.flatnonzero(stays < 0)
    dropped = np.concatenate([copies, similar, nowhere])
    matched = np.concatenate([stays[copies], goes_for[similar], nowhere])
    rules = [("exact-duplicate", copies), ("near-duplicate", similar), (GONE_CONTENT, nowhere)]
    columns = {
        "ref": refs[dropped],
        "rule": [rule for rule, places in rules for _ in range(len(places))],
        "matched": refs[matched],
        "matched_id": ranked["file_id"].take(pa.array(matched)).combine_chunks(),
        "matched_known": _names(ranked, matched, known_name),
        "similarity": np.concatenate(
            [np.ones(len(copies)), similarity[similar], np.ones(len(nowhere))]
        ),
    }
    table = pa.table(columns, schema=DECIDED)
    return table.take(pa.array(np.argsort(refs[dropped], kind="stable")))


def _places(refs: NDArray[np.uint64], wanted: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Where each of ``wanted`` is in ``refs``."""
    order = np.argsort(refs)
    places: NDArray[np.int64] = order[np.searchsorted(refs, wanted, sorter=order)]
    return places


def _names(ranked: pa.Table, matched: NDArray[np.int64], known_name: Names) -> list[str]:
    rows = ranked.select(["ref", "repo", "path", "known"]).take(pa.array(matched)).to_pylist()
    return [
        known_name(row["ref"], row["repo"], row["path"]) if row["known"] else "" for row in rows
    ]
