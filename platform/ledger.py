"""The ledger: a row for every decision on a file, so that each one's fate can be explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from treespan.platform.store import Store

Action = Literal["drop", "edit", "keep"]


class Decision(TypedDict):
    """A row of the ``LEDGER`` schema."""

    file_id: str
    repo: str
    path: str
    language: str
    size: int
    step: str
    rule: str
    action: Action
    value: float | None
    threshold: float | None
    detail: str
    matched_id: str
    similarity: float | None


def decide(
    file: Mapping[str, Any],
    *,
    step: str,
    rule: str,
    action: Action = "drop",
    value: float | None = None,
    threshold: float | None = None,
    detail: str = "",
    matched_id: str = "",
    similarity: float | None = None,
) -> Decision:
    """A decision on ``file`` (any mapping with the file's id, repo, path and, if known, more)."""
    return Decision(
        file_id=file["file_id"],
        repo=file["repo"],
        path=file["path"],
        language=file.get("language") or "",
        size=file.get("size") or 0,
        step=step,
        rule=rule,
        action=action,
        value=value,
        threshold=threshold,
        detail=detail,
        matched_id=matched_id,
        similarity=similarity,
    )


Funnel = dict[str, dict[str, int]]
"""Files per rule and language: ``{"licence": {"Python": 12}}``; ``kept`` is one of the rules."""


def funnel_of(decisions: Iterable[Mapping[str, Any]], kept: Iterable[str] = ()) -> Funnel:
    """Dropped files counted by rule and language, and ``kept`` (the languages of kept files)."""
    counts: dict[str, Counter[str]] = {}
    for decision in decisions:
        if decision["action"] == "drop":
            counts.setdefault(decision["rule"], Counter())[decision["language"]] += 1
    kept_counts = Counter(kept)
    if kept_counts:
        counts["kept"] = kept_counts
    return {rule: dict(sorted(found.items())) for rule, found in counts.items()}


def merge_funnels(funnels: Iterable[Funnel], order: Sequence[str] = ()) -> Funnel:
    """The sum of the funnels of several partitions.

    Rules come in the given ``order`` (that in which they are asked), others after them by name,
    ``kept`` last.
    """
    total: dict[str, Counter[str]] = {}
    for funnel in funnels:
        for rule, by_language in funnel.items():
            total.setdefault(rule, Counter()).update(by_language)
    rank = {rule: place for place, rule in enumerate(order)} | {"kept": len(total) + len(order)}
    rules = sorted(total, key=lambda rule: (rank.get(rule, len(order)), rule))
    return {rule: dict(sorted(total[rule].items())) for rule in rules}


def read_decisions(store: Store, folder: str, repo: str, path: str) -> list[dict[str, Any]]:
    """All decisions on ``repo/path`` in the ledger files of a step's ``folder``."""
    found: list[dict[str, Any]] = []
    for name in store.list_files(f"{folder}/ledger"):
        with store.open_table(name) as reader:
            for index in range(reader.num_record_batches):
                table = pa.Table.from_batches([reader.get_batch(index)])
                of_file = pc.and_(pc.equal(table["repo"], repo), pc.equal(table["path"], path))
                found += table.filter(of_file).to_pylist()
    return found
