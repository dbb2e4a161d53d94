"""How right a tool is, held against the exact pairs of the corpus."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

Pair = tuple[str, str]


@dataclass(frozen=True)
class Scores:
    """Shares between 0 and 1; None where a tool does not say which files it takes for alike."""

    recall: float | None
    """Of the similar pairs, those found. Any two files of a cluster count as found."""
    precision: float | None
    """Of the pairs found, those that are similar."""
    resolved: float
    """Of the similar pairs, those of which at most one file is kept."""
    rightly_removed: float
    """Of the files removed, those that are similar to one that is kept."""
    removed: int
    """Number of files removed."""


def similar_pairs(table: Path, threshold: float) -> set[Pair]:
    """The pairs of a table of exact pairs that reach ``threshold``."""
    pairs = pq.read_table(table)
    pairs = pairs.filter(pc.greater_equal(pairs["similarity"], threshold - 1e-9))
    return set(zip(pairs["a"].to_pylist(), pairs["b"].to_pylist(), strict=True))


def found_pairs(out: Path) -> set[Pair] | None:
    """The pairs that a tool has found; None if it does not tell."""
    if (out / "pairs.parquet").exists():
        pairs = pq.read_table(out / "pairs.parquet", columns=["a", "b"])
        return {
            (min(pair), max(pair))
            for pair in zip(pairs["a"].to_pylist(), pairs["b"].to_pylist(), strict=True)
        }
    if not (out / "clusters.parquet").exists():
        return None
    members: dict[str, list[str]] = {}
    clusters = pq.read_table(out / "clusters.parquet").to_pydict()
    for id, cluster in zip(clusters["id"], clusters["cluster"], strict=True):
        members.setdefault(cluster, []).append(id)
    return {pair for ids in members.values() for pair in combinations(sorted(ids), 2)}


def score(
    ids: Iterable[str], similar: Collection[Pair], kept: Collection[str], found: set[Pair] | None
) -> Scores:
    """Score a tool that was given the files ``ids``."""
    kept = set(kept)
    removed = set(ids) - kept
    partners: dict[str, set[str]] = {}
    for a, b in similar:
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    right = sum(bool(partners.get(id, set()) & kept) for id in removed)
    both = 0 if found is None else len(found & set(similar))
    return Scores(
        recall=None if found is None else _share(both, len(similar)),
        precision=None if found is None else _share(both, len(found)),
        resolved=_share(sum(not (a in kept and b in kept) for a, b in similar), len(similar)),
        rightly_removed=_share(right, len(removed)),
        removed=len(removed),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
