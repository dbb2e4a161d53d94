"""The ledger: a row for every decision on a file, so that each one's fate can be explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from treespan.platform.draws import partition_of
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
"""Numbers by rule and language: ``{"licence": {"Python": 12}}``; ``kept`` is one of the rules."""


class Account(TypedDict):
    """What a step did to its files, as it stands in the step's counts."""

    funnel: Funnel
    """Files that each rule dropped, and those kept."""
    funnel_bytes: Funnel
    """Their bytes, as far as they are known: what was never read may count as none."""
    edits: Funnel
    """Files that a rule changed; they are among the kept ones unless something else took them."""


def account_of(
    decisions: Iterable[Mapping[str, Any]], kept: Iterable[tuple[str, int]] = ()
) -> Account:
    """``decisions`` and ``kept`` (language and bytes of every kept file), counted."""
    files: dict[str, Counter[str]] = {}
    sizes: dict[str, Counter[str]] = {}
    edits: dict[str, Counter[str]] = {}

    def count(rule: str, language: str, size: int) -> None:
        files.setdefault(rule, Counter())[language] += 1
        sizes.setdefault(rule, Counter())[language] += size

    for decision in decisions:
        rule, language = decision["rule"], decision["language"]
        if decision["action"] == "drop":
            count(rule, language, decision["size"])
        elif decision["action"] == "edit":
            edits.setdefault(rule, Counter())[language] += 1
    for language, size in kept:
        count("kept", language, size)
    return Account(funnel=_plain(files), funnel_bytes=_plain(sizes), edits=_plain(edits))


def merge_accounts(accounts: Iterable[Mapping[str, Any]], order: Sequence[str] = ()) -> Account:
    """The sum of the accounts of several partitions; other keys are ignored.

    Rules come in the given ``order`` (that in which they are asked), others after them by name,
    ``kept`` last.
    """
    parts = list(accounts)
    return Account(
        funnel=merge_funnels((part["funnel"] for part in parts), order),
        funnel_bytes=merge_funnels((part["funnel_bytes"] for part in parts), order),
        edits=merge_funnels((part["edits"] for part in parts), order),
    )


def merge_funnels(funnels: Iterable[Funnel], order: Sequence[str] = ()) -> Funnel:
    """The sum of several funnels, rules in the order of ``merge_accounts``."""
    total: dict[str, Counter[str]] = {}
    for funnel in funnels:
        for rule, by_language in funnel.items():
            total.setdefault(rule, Counter()).update(by_language)
    rank = {rule: place for place, rule in enumerate(order)} | {"kept": len(total) + len(order)}
    rules = sorted(total, key=lambda rule: (rank.get(rule, len(order)), rule))
    return _plain({rule: total[rule] for rule in rules})


def _plain(counts: Mapping[str, Counter[str]]) -> Funnel:
    return {rule: dict(sorted(found.items())) for rule, found in counts.items()}


def read_decisions(store: Store, folder: str, repo: str, path: str) -> list[dict[str, Any]]:
    """All decisions on ``repo/path`` in the ledger of a step's ``folder``; reads one part of it."""
    parts = store.list_files(f"{folder}/ledger")
    if not parts:
        return []
    found: list[dict[str, Any]] = []
    with store.open_table(parts[partition_of(repo, len(parts))]) as reader:
        for index in range(reader.num_record_batches):
            table = pa.Table.from_batches([reader.get_batch(index)])
            of_file = pc.and_(pc.equal(table["repo"], repo), pc.equal(table["path"], path))
            found += table.filter(of_file).to_pylist()
    return found
