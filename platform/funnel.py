"""The way from all files to a corpus, over all the steps that drop files: what tables and plots show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treespan.platform.ledger import Account, Funnel, merge_funnels
from treespan.platform.steps import Output

FILTERS = ("ingest", "curate", "decontaminate")
"""Steps that drop files, in order; a run may lack the later ones."""


@dataclass(frozen=True)
class Stage:
    """What one rule of one step took, and what was left after it."""

    step: str
    rule: str
    files: int
    bytes: int
    files_left: int


@dataclass(frozen=True)
class LanguageFate:
    """What became of the files of one language."""

    language: str
    files: int
    kept: int
    kept_bytes: int
    most: str
    """The rule that took most of them; empty if none took any."""
    most_files: int


def whole_account(steps: Mapping[str, Output]) -> Account:
    """The accounts of all filters among ``steps`` as one; ``kept`` is what the last of them kept."""
    counts = [steps[name].counts for name in FILTERS if name in steps]
    account = Account(
        funnel=_joined(counts, "funnel"),
        funnel_bytes=_joined(counts, "funnel_bytes"),
        edits=_joined(counts, "edits"),
    )
    if "curate" not in steps:
        # Ingest knows no languages yet, and so counts what it keeps without them.
        account["funnel"]["kept"] = {"": counts[-1]["files"]}
        account["funnel_bytes"]["kept"] = {"": counts[-1]["bytes"]}
    return account


def stages(steps: Mapping[str, Output]) -> list[Stage]:
    """Every rule that took something, in the order in which they are asked; ``kept`` is the last."""
    account = whole_account(steps)
    left = total_files(account)
    found: list[Stage] = []
    for name in (name for name in FILTERS if name in steps):
        counts: Mapping[str, Any] = steps[name].counts
        sizes = counts.get("funnel_bytes", {})
        for rule, by_language in counts["funnel"].items():
            if rule != "kept":
                files = sum(by_language.values())
                left -= files
                found.append(Stage(name, rule, files, sum(sizes.get(rule, {}).values()), left))
    kept = sum(account["funnel"].get("kept", {}).values())
    kept_bytes = sum(account["funnel_bytes"].get("kept", {}).values())
    return [*found, Stage("", "kept", kept, kept_bytes, kept)]


def total_files(account: Account) -> int:
    """All files that were seen."""
    return sum(_by_language(account["funnel"]).values())


def fates(account: Account) -> list[LanguageFate]:
    """What became of every language, those with most files kept, then seen, first."""
    funnel = account["funnel"]
    kept, sizes = funnel.get("kept", {}), account["funnel_bytes"].get("kept", {})
    found = []
    for language, files in _by_language(funnel).items():
        taken = {rule: by.get(language, 0) for rule, by in funnel.items() if rule != "kept"}
        most = max(taken, key=lambda rule: taken[rule], default="")
        found.append(
            LanguageFate(
                language=language,
                files=files,
                kept=kept.get(language, 0),
                kept_bytes=sizes.get(language, 0),
                most=most if taken.get(most) else "",
                most_files=taken.get(most, 0),
            )
        )
    return sorted(found, key=lambda fate: (-fate.kept, -fate.files, fate.language))


def shown_languages(funnel: Funnel, limit: int) -> list[str]:
    """The ``limit`` languages with most files kept, then seen; what is not known is one too."""
    totals, kept = _by_language(funnel), funnel.get("kept", {})

    def order(language: str) -> tuple[int, int, str]:
        return -kept.get(language, 0), -totals[language], language

    return sorted(totals, key=order)[:limit]


def name_of(language: str) -> str:
    """A language as it is shown."""
    return language or "(unknown)"


def shares(funnel: Funnel, languages: Sequence[str]) -> list[list[float]]:
    """What share of each language's files went to each rule: [rules][languages], columns sum to 1."""
    totals = _by_language(funnel)
    return [
        [by_language.get(language, 0) / totals[language] for language in languages]
        for by_language in funnel.values()
    ]


def _joined(counts: Sequence[Mapping[str, Any]], key: str) -> Funnel:
    # A store may hold runs of a version that counted files only.
    parts = [dict(found.get(key, {})) for found in counts]
    for part in parts[:-1]:
        part.pop("kept", None)
    return merge_funnels(parts, [rule for part in parts for rule in part])


def _by_language(funnel: Funnel) -> dict[str, int]:
    totals: dict[str, int] = {}
    for by_language in funnel.values():
        for language, count in by_language.items():
            totals[language] = totals.get(language, 0) + count
    return totals
