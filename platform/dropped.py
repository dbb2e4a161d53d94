"""``treespan dropped``: some of the files that each rule dropped, to look at.

The files are drawn by a hash of their ids, so the same ones come each time. Ledgers are read batch
by batch, and of the texts only the batches that hold one of the chosen.
"""

from __future__ import annotations

import heapq
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from rich.markup import escape

from treespan.platform.draws import hash64
from treespan.platform.errors import UserError
from treespan.platform.excerpt import difference, excerpt
from treespan.platform.funnel import FILTERS
from treespan.platform.lookup import Place, part_of, places_of, text_at
from treespan.platform.steps import Output
from treespan.platform.wording import is_of_earlier_corpus, measured_in_words


@dataclass(frozen=True)
class Asked:
    """Which dropped files are wanted; what is None is not asked for."""

    rule: str | None = None
    step: str | None = None
    language: str | None = None
    top: int = 3
    """Files per rule."""
    seed: int = 0
    """Another seed draws other files."""


@dataclass(frozen=True)
class DroppedFile:
    """A file that was dropped: the decision, and what can be shown of it."""

    decision: Mapping[str, Any]
    """Its row of the ledger."""
    matched: str
    """For duplicates the file that stays, ``REPO/PATH``; otherwise empty."""
    excerpt: str | None
    """Some lines of its text; None where ingest did not read it."""
    difference: str | None
    """For near duplicates a unified diff from the file that stays; None for others."""

    @property
    def name(self) -> str:
        """``REPO/PATH``; of a whole repository that was refused, its name."""
        return f"{self.decision['repo']}/{self.decision['path']}".rstrip("/")


@dataclass
class DroppedBy:
    """The files that one rule dropped."""

    step: str
    rule: str
    total: int = 0
    """All files that the rule dropped, of those that were asked for."""
    files: list[DroppedFile] = field(default_factory=list)


def sample_dropped(steps: Mapping[str, Output], asked: Asked) -> list[DroppedBy]:
    """``asked.top`` files of every rule, in the order of steps and of rules.

    Raises ``UserError`` if nothing that was dropped answers to what is asked.
    """
    _check(steps, asked)
    found: list[DroppedBy] = []
    for step in FILTERS:
        if step in steps and asked.step in (None, step):
            found += _drawn(steps, step, asked)
    if not found and (asked.rule or asked.language):
        raise UserError(
            "no file was dropped that answers to this.", "Ask for less: leave out --language."
        )
    return found


def as_json(group: DroppedBy) -> dict[str, Any]:
    """The files of one rule for machines."""
    files = [
        {
            **{key: value for key, value in file.decision.items() if key not in ("step", "rule")},
            "matched": file.matched,
            "excerpt": file.excerpt,
            "difference": file.difference,
        }
        for file in group.files
    ]
    return {"step": group.step, "rule": group.rule, "total": group.total, "files": files}


def lines(groups: Iterable[DroppedBy]) -> Iterator[str]:
    """All of it for a terminal, with rich's markup."""
    for group in groups:
        yield f"[bold]{group.step}: {escape(group.rule)}[/], {len(group.files)} of {group.total:,} files"
        for file in group.files:
            yield f"  [bold]{escape(file.name)}[/]  {escape(in_short(file))}"
            shown = file.difference if file.difference else file.excerpt
            if shown:
                yield f"[dim]{escape(textwrap.indent(shown, '      ', lambda _: True))}[/]"
        yield ""


def in_short(file: DroppedFile) -> str:
    """Language, size, what was measured, and the file that stays."""
    decision = file.decision
    size = f"{decision['size']:,} bytes" if decision["size"] else ""
    kept = f"kept instead: {file.matched}" if file.matched else ""
    said = (decision["language"], size, measured_in_words(decision), kept)
    return "; ".join(filter(None, said))


def _check(steps: Mapping[str, Output], asked: Asked) -> None:
    filters = [step for step in FILTERS if step in steps]
    if not filters:
        raise UserError("the run holds no ledger.", "Run a recipe up to its step curate.")
    if asked.step is not None and asked.step not in filters:
        raise UserError(
            f"no step {asked.step!r} of this run drops files.", f"These do: {', '.join(filters)}."
        )
    rules = {rule for step in filters for rule in steps[step].counts["funnel"]} - {"kept"}
    if asked.rule is not None and asked.rule not in rules:
        near = get_close_matches(asked.rule, rules, 1)
        known = f"Did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"no rule {asked.rule!r} dropped anything.",
            f"{known}These did: {', '.join(sorted(rules))}.",
        )


def _drawn(steps: Mapping[str, Output], step: str, asked: Asked) -> Iterator[DroppedBy]:
    chosen: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
    totals: Counter[str] = Counter()
    for batch in _dropped_batches(steps[step], asked):
        rules, ids = batch["rule"].to_pylist(), batch["file_id"].to_pylist()
        for row, (rule, file_id) in enumerate(zip(rules, ids, strict=True)):
            totals[rule] += 1
            heap = chosen.setdefault(rule, [])
            # Negated: the heap's first is then the one with the largest hash, which goes next. The
            # count keeps rows of one file apart, and in the order of the ledger.
            draw = (-hash64(asked.seed, "dropped", file_id), -totals[rule])
            if len(heap) < asked.top:
                heapq.heappush(heap, (*draw, batch.slice(row, 1).to_pylist()[0]))
            elif draw > heap[0][:2]:
                heapq.heapreplace(heap, (*draw, batch.slice(row, 1).to_pylist()[0]))
    for rule in steps[step].counts["funnel"]:
        if rule in chosen:
            rows = [
                row for _, _, row in sorted(chosen[rule], reverse=True, key=lambda drawn: drawn[:2])
            ]
            yield DroppedBy(step, rule, totals[rule], list(_with_texts(steps, rows)))


def _dropped_batches(output: Output, asked: Asked) -> Iterator[pa.RecordBatch]:
    for part in output.files("ledger"):
        with output.store.open_table(part) as reader:
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                wanted = pc.equal(batch["action"], "drop")
                for column, value in (("rule", asked.rule), ("language", asked.language)):
                    if value is not None:
                        wanted = pc.and_(wanted, pc.equal(batch[column], value))
                yield batch.filter(wanted)


def _with_texts(
    steps: Mapping[str, Output], decisions: list[dict[str, Any]]
) -> Iterator[DroppedFile]:
    ingest = steps["ingest"]
    places: dict[str, Place] = {}
    by_part: dict[str, list[str]] = {}
    for decision in decisions:
        part = part_of(ingest, "files", decision["repo"])
        if part is not None:
            by_part.setdefault(part, []).append(decision["file_id"])
    for part, ids in by_part.items():
        places |= places_of(ingest, ids, [part])
    matched = {
        decision["matched_id"] for decision in decisions if not is_of_earlier_corpus(decision)
    }
    places |= places_of(ingest, matched - set(places) - {"", None})
    for decision in decisions:
        place = places.get(decision["file_id"])
        earlier = is_of_earlier_corpus(decision)
        kept = None if earlier else places.get(decision["matched_id"])
        text = None if place is None else text_at(ingest.store, place)
        changed = None
        if text is not None and kept is not None and decision["rule"] == "near-duplicate":
            changed = difference(text_at(ingest.store, kept), text)
        yield DroppedFile(
            decision=decision,
            matched=decision["detail"] if earlier else "" if kept is None else kept.name,
            excerpt=None if text is None else excerpt(text),
            difference=changed,
        )
