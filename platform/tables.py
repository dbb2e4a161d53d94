"""The tables that ``treespan show`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from treespan.platform.ledger import Funnel
from treespan.platform.run_record import Run
from treespan.platform.summary import describe

_LANGUAGES = 4
"""Languages with a column of their own in the funnel; the rest share one."""


def run_tables(run: Run) -> Iterator[Table]:
    """The tables of ``run``, those whose steps are there."""
    yield _steps(run)
    for name in ("ingest", "curate", "decontaminate"):
        if name in run.steps:
            yield funnel_table(f"{name}: files by rule", run.steps[name].counts["funnel"])
    if "train" in run.steps:
        yield _losses(run)
    if "evaluate" in run.steps:
        yield score_table(run.steps["evaluate"].counts["scores"])


def funnel_table(title: str, funnel: Funnel) -> Table:
    """Files by rule and language."""
    totals: dict[str, int] = {}
    for by_language in funnel.values():
        for language, count in by_language.items():
            totals[language] = totals.get(language, 0) + count
    shown = sorted(totals, key=lambda language: (-totals[language], language))[:_LANGUAGES]
    table = Table(title=title, title_justify="left")
    table.add_column("rule")
    for heading in ("files", *(name or "(unknown)" for name in shown), "others"):
        table.add_column(heading, justify="right")
    for rule, by_language in funnel.items():
        files = sum(by_language.values())
        cells = [by_language.get(language, 0) for language in shown]
        table.add_row(rule, *(f"{n:,}" for n in (files, *cells, files - sum(cells))))
    return table


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


def _losses(run: Run) -> Table:
    train = run.steps["train"]
    losses = train.store.read_table(f"{train.folder}/losses.arrow", ["step", "loss"])
    values = losses["loss"].to_pylist()
    table = Table(title="train: loss in nats per token", title_justify="left")
    places = sorted({min(len(values) - 1, round(i * (len(values) - 1) / 6)) for i in range(7)})
    for place in places:
        table.add_column(f"step {place}", justify="right")
    table.add_row(*(f"{values[place]:.3f}" for place in places))
    return table
