"""The tables that ``treespan show`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from treespan.platform.funnel import (
    FILTERS,
    fates,
    name_of,
    shown_languages,
    stages,
    whole_account,
)
from treespan.platform.ledger import Account, Funnel
from treespan.platform.pack_tables import pack_tables
from treespan.platform.run_record import Run
from treespan.platform.sample_tables import sample_tables
from treespan.platform.summary import describe
from treespan.platform.train_tables import train_tables

_LANGUAGES = 4
"""Languages with a column of their own in a funnel of common width; the rest share one."""
_RULE_WIDTH, _LANGUAGE_WIDTH = 36, 13
"""Characters that the rule, its files and the others take, and a language: ours, wide enough for
``repository-duplicate`` and ``TypeScript``."""
_FATES = 20
"""Languages in the table by language."""


def run_tables(run: Run, width: int = 80) -> Iterator[Table]:
    """The tables of ``run``, those whose steps are there, for a terminal of ``width`` characters."""
    yield _steps(run)
    if any(name in run.steps for name in FILTERS):
        account = whole_account(run.steps)
        yield _stages(run, account["edits"])
        yield _fates(account)
        room = max(_LANGUAGES, (width - _RULE_WIDTH) // _LANGUAGE_WIDTH)
        yield funnel_table("files by rule and language", account["funnel"], room)
    if "sample" in run.steps:
        yield from sample_tables(run.steps["sample"].counts)
    if "tokenize" in run.steps:
        yield _tokenizer(run.steps["tokenize"].counts)
    if "pack" in run.steps:
        yield from pack_tables(run.steps["pack"].counts)
    if "train" in run.steps:
        yield from train_tables(run.steps["train"])
    if "evaluate" in run.steps:
        yield score_table(run.steps["evaluate"].counts["scores"])


def funnel_table(title: str, funnel: Funnel, languages: int = _LANGUAGES) -> Table:
    """Files by rule and language; so many ``languages`` have a column."""
    shown = shown_languages(funnel, languages)
    table = Table(title=title, title_justify="left")
    table.add_column("rule")
    for heading in ("files", *(name_of(language) for language in shown), "others"):
        table.add_column(heading, justify="right")
    for rule, by_language in funnel.items():
        files = sum(by_language.values())
        cells = [by_language.get(language, 0) for language in shown]
        table.add_row(rule, *(f"{n:,}" for n in (files, *cells, files - sum(cells))))
    return table


def _stages(run: Run, edits: Funnel) -> Table:
    """The funnel: what every rule took and what it left, then what was edited and stays."""
    table = Table(title="files by step and rule", title_justify="left")
    for heading in ("step", "rule"):
        table.add_column(heading)
    for heading in ("files", "MB", "files left"):
        table.add_column(heading, justify="right")
    step = None
    for stage in stages(run.steps):
        if step is not None and stage.step != step:
            table.add_section()
        shown = stage.step if stage.step != step else ""
        step = stage.step
        table.add_row(
            shown, stage.rule, f"{stage.files:,}", _megabytes(stage.bytes), f"{stage.files_left:,}"
        )
    if edits:
        table.add_section()
        for rule, by_language in edits.items():
            table.add_row("edited", rule, f"{sum(by_language.values()):,}", "", "")
    return table


def _fates(account: Account) -> Table:
    """By language: files, what was kept, and the rule that took most."""
    table = Table(title="files by language", title_justify="left")
    table.add_column("language")
    for heading in ("files", "kept", "share", "kept MB"):
        table.add_column(heading, justify="right")
    table.add_column("taken most by")
    found = fates(account)
    for fate in found[:_FATES]:
        table.add_row(
            name_of(fate.language),
            f"{fate.files:,}",
            f"{fate.kept:,}",
            f"{fate.kept / fate.files:.0%}",
            _megabytes(fate.kept_bytes),
            f"{fate.most} {fate.most_files:,}" if fate.most else "",
        )
    rest = found[_FATES:]
    if rest:
        files, kept = sum(fate.files for fate in rest), sum(fate.kept for fate in rest)
        sizes = sum(fate.kept_bytes for fate in rest)
        table.add_row(
            f"{len(rest)} others",
            f"{files:,}",
            f"{kept:,}",
            f"{kept / files:.0%}",
            _megabytes(sizes),
            "",
        )
    return table


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f}"


def score_table(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """Scores by objective and model."""
    table = Table(title="evaluate: held-out repositories", title_justify="left")
    table.add_column("objective")
    table.add_column("model")
    for heading in ("holes", "bits/byte", "end mark, nats", "exact match"):
        table.add_column(heading, justify="right")
    for objective, models in scores.items():
        for model, found in models.items():
            exact = found.get("exact_match")
            end = found["end_nats"]
            table.add_row(
                objective,
                model,
                f"{found['holes']:,}",
                f"{found['bits_per_byte']:.3f}",
                "" if end is None else f"{end:.3f}",
                "" if exact is None else f"{exact:.1%}",
            )
    return table


def _steps(run: Run) -> Table:
    table = Table(title=f"run {run.name}", title_justify="left")
    table.add_column("step")
    table.add_column("seconds", justify="right")
    table.add_column("result")
    table.add_column("digest")
    for name, output in run.steps.items():
        said = describe(name, output.counts, output.manifest)
        table.add_row(name, f"{output.manifest['seconds']:.1f}", said, output.digest[:12])
    for name in run.pending:
        table.add_row(name, "", "not run yet", "")
    return table


def _tokenizer(counts: Mapping[str, Any]) -> Table:
    """Whatever the step counted that is one number."""
    table = Table(title="tokenize", title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in counts.items():
        if isinstance(value, bool):
            table.add_row(name.replace("_", " "), "yes" if value else "no")
        elif isinstance(value, int | float):
            shown = f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
            table.add_row(name.replace("_", " "), shown)
    return table
