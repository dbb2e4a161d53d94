"""The sections on what curation did: the funnel, the languages, and dropped files to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from treespan.jobs.report.page import dropped_file, foldable, paragraph, section, table
from treespan.jobs.report.plots import funnel_plot, kept_plot, share_plot
from treespan.platform.dropped import Asked, DroppedBy, in_short, sample_dropped
from treespan.platform.funnel import (
    LanguageFate,
    fates,
    name_of,
    shares,
    shown_languages,
    stages,
    total_files,
    whole_account,
)
from treespan.platform.ledger import Account, Funnel
from treespan.platform.steps import Output

_LANGUAGES = 11
"""Languages with a column or bar of their own; what is left is one more, ``others``."""
_OTHERS = "others"
_SHOWN_PER_RULE = 3


def account_sections(steps: Mapping[str, Output]) -> list[str]:
    """What the filters among ``steps`` did; at least ``ingest`` must be there."""
    account = whole_account(steps)
    return [
        _funnel(steps, account),
        _languages(account),
        _samples(sample_dropped(steps, Asked(top=_SHOWN_PER_RULE))),
    ]


def fold(funnel: Funnel, limit: int) -> Funnel:
    """``funnel`` with its ``limit`` largest languages, by their names, and the rest as ``others``."""
    shown = set(shown_languages(funnel, limit))
    folded: Funnel = {}
    for rule, by_language in funnel.items():
        row = folded.setdefault(rule, {})
        for language, count in by_language.items():
            name = name_of(language) if language in shown else _OTHERS
            row[name] = row.get(name, 0) + count
    return folded


def _funnel(steps: Mapping[str, Output], account: Account) -> str:
    found = stages(steps)
    left = [(stage.step, stage.rule, stage.files_left) for stage in found[:-1]]
    rows = [
        (stage.step, stage.rule, stage.files, stage.bytes / 1e6, stage.files_left)
        for stage in found
    ]
    edits = [(rule, sum(by.values())) for rule, by in account["edits"].items()]
    parts = [
        funnel_plot(total_files(account), left),
        paragraph("Every file that was dropped has its reason in the ledger: treespan why."),
        table(("step", "rule", "files", "MB", "files left"), rows),
    ]
    if edits:
        parts += [paragraph("Files that were changed:"), table(("rule", "files"), edits)]
    return section("From files to a corpus", *parts)


def _languages(account: Account) -> str:
    folded = fold(account["funnel"], _LANGUAGES)
    names = [name for name in shown_languages(folded, _LANGUAGES + 1) if name != _OTHERS]
    if any(_OTHERS in by_language for by_language in folded.values()):
        names.append(_OTHERS)
    found = fates(account)
    everything = table(
        ("language", "files", "kept", "share kept", "kept MB", "taken most by"),
        [_fate_row(fate) for fate in found],
    )
    return section(
        "By language",
        share_plot(list(folded), names, shares(folded, names)),
        paragraph("The share of each language's files that each rule took."),
        kept_plot(_kept_megabytes(found)),
        foldable(f"All {len(found)} languages", everything),
    )


def _fate_row(fate: LanguageFate) -> tuple[str, int, int, str, float, str]:
    most = f"{fate.most}: {fate.most_files:,}" if fate.most else ""
    share = f"{fate.kept / fate.files:.0%}"
    return name_of(fate.language), fate.files, fate.kept, share, fate.kept_bytes / 1e6, most


def _kept_megabytes(found: Sequence[LanguageFate]) -> list[tuple[str, float]]:
    """Name and megabytes kept, most first, and the rest as one."""
    kept = sorted((fate for fate in found if fate.kept), key=lambda fate: -fate.kept_bytes)
    bars = [(name_of(fate.language), fate.kept_bytes / 1e6) for fate in kept[:_LANGUAGES]]
    rest = kept[_LANGUAGES:]
    if rest:
        bars.append((f"{len(rest)} {_OTHERS}", sum(fate.kept_bytes for fate in rest) / 1e6))
    return bars


def _samples(groups: Sequence[DroppedBy]) -> str:
    parts = [
        foldable(
            f"{group.step}: {group.rule}, {group.total:,} files",
            *(
                dropped_file(file.name, in_short(file), file.difference or file.excerpt or "")
                for file in group.files
            ),
        )
        for group in groups
    ]
    return section(
        "Dropped files to look at",
        paragraph(
            "Drawn by a hash of their names. Of near duplicates, what differs from the file that "
            "stays; of others, their first lines and some of the middle. More: treespan dropped."
        ),
        *parts,
    )
