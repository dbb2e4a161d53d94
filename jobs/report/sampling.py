"""The section on the order of files: what it brings together, beside a random order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treespan.jobs.report.page import paragraph, section, table
from treespan.jobs.report.plots import grouped_plot

RANDOM = "random order"
MEASURES = {
    "similarity": "content,\nwhole document",
    "neighbour_similarity": "content,\nfile before",
    "path_similarity": "folders,\nfile before",
}
"""Measures of the sampling step that are means in [0, 1], as the plot calls them."""


def sampling_sections(counts: Mapping[str, Any]) -> list[str]:
    """What the sampling step counted: its strategies, its languages, and its statistics."""
    found = counts["statistics"]
    strategies = list(counts["files_by_strategy"].items())
    parts = [
        similarity_plot(found),
        paragraph(
            "How alike files are, by the strategy that placed the later one: the TF-IDF cosine with "
            "the others of its document and with the file before it, and the share of folders that "
            "it has in common with the file before. Random order: the same files in one shuffle, cut "
            "in the same way."
        ),
        table(("strategy", "files"), strategies),
        table(
            ("order", "dependencies", "in one document", "of these used first"),
            [
                dependency_row("as sampled", found["dependencies"]),
                dependency_row(RANDOM, found["dependencies_random"]),
            ],
        ),
    ]
    if counts["bytes_by_language"] != counts["bytes_by_language_given"]:
        given, read = counts["bytes_by_language_given"], counts["bytes_by_language"]
        rows = [
            (name, size / 1e6, read.get(name, 0) / 1e6)
            for name, size in given.items()
            if size != read.get(name, 0)
        ]
        parts += [
            paragraph("Rates and the cap of a repository change what an epoch reads:"),
            table(("language", "MB given", "MB read"), rows),
        ]
    return [section("The order of files", *parts)]


def similarity_plot(found: Mapping[str, Any]) -> str:
    """The means of ``statistics`` by strategy and of the random order, as SVG."""
    strategies = sorted({name for measure in MEASURES for name in found[measure]})
    series = {name: [found[measure].get(name) for measure in MEASURES] for name in strategies}
    series["all as sampled"] = [found[f"{measure}_all"] for measure in MEASURES]
    series[RANDOM] = [found[f"{measure}_random"] for measure in MEASURES]
    return grouped_plot(list(MEASURES.values()), series, "mean similarity")


def dependency_row(name: str, found: Mapping[str, int]) -> tuple[str, int, str, str]:
    """``name``, the number of dependencies, and the shares of them that an order keeps together."""
    within = f"{found['within'] / found['edges']:.1%}" if found["edges"] else "–"
    first = f"{found['callee_first'] / found['within']:.1%}" if found["within"] else "–"
    return name, found["edges"], within, first
