"""The tables of ``treespan show`` on the order of files: what stands together, against chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

_RANDOM, _ALL = "_random", "_all"
"""Endings of a measure's name: of the same files in random order, and over all strategies."""


def sample_tables(counts: Mapping[str, Any]) -> Iterator[Table]:
    """What ``counts`` of a sampling step have to show; earlier versions had no statistics."""
    statistics: Mapping[str, Any] = counts.get("statistics", {})
    measures = [
        name
        for name, value in statistics.items()
        if f"{name}{_RANDOM}" in statistics and _is_by_strategy(value)
    ]
    if measures:
        yield _by_strategy(statistics, measures, counts["files_by_strategy"])
    if "dependencies" in statistics:
        yield _dependencies(statistics)


def _is_by_strategy(value: Any) -> bool:
    return isinstance(value, Mapping) and "edges" not in value


def _by_strategy(
    statistics: Mapping[str, Any], measures: list[str], files: Mapping[str, int]
) -> Table:
    table = Table(title="sample: files beside each other, by strategy", title_justify="left")
    table.add_column("strategy")
    table.add_column("files", justify="right")
    for measure in measures:
        table.add_column(measure.replace("_", " "), justify="right")
    for strategy, count in files.items():
        means = [statistics[measure].get(strategy) for measure in measures]
        table.add_row(strategy, f"{count:,}", *(_mean(mean) for mean in means))
    table.add_section()
    for name, ending in (("all", _ALL), ("in random order", _RANDOM)):
        means = [statistics.get(f"{measure}{ending}") for measure in measures]
        if any(mean is not None for mean in means):
            table.add_row(name, f"{sum(files.values()):,}", *(_mean(mean) for mean in means))
    return table


def _mean(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _dependencies(statistics: Mapping[str, Any]) -> Table:
    table = Table(title="sample: files that use each other", title_justify="left")
    table.add_column("order")
    for heading in ("pairs", "in one document", "the used file first"):
        table.add_column(heading, justify="right")
    for name, ending in (("ours", ""), ("random", _RANDOM)):
        found: Mapping[str, int] = statistics.get(f"dependencies{ending}", {})
        if found:
            edges = found["edges"]
            shares = (found[part] / max(1, edges) for part in ("within", "callee_first"))
            table.add_row(name, f"{edges:,}", *(f"{share:.1%}" for share in shares))
    return table
