"""How fast the graph of one repository is built as it grows, beside bare parsing of the same text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.graph.corpus import Repository, one_repository
from tree_sitter import Parser

from treespan.jobs.graph.build import build_graph
from treespan.jobs.graph.config import GraphConfig
from treespan.jobs.graph.facts import can_read
from treespan.jobs.graph.read import total_bytes
from treespan.jobs.graph.source_file import SourceFile
from treespan.model.grammars import load_parser

SIZES = (1, 3, 10)
"""Tenths of the text."""


@dataclass(frozen=True)
class Speed:
    """One size. Seconds are of the processor, the least of all rounds."""

    size: int
    files: int
    megabytes: float
    """Of all text."""
    parsed_megabytes: float
    """Of the text in a language with a query, in files small enough to be parsed."""
    parse_s: float
    graph_s: float
    edges: int


def measure_speed(found: Sequence[Repository], rounds: int = 3) -> Iterator[Speed]:
    """Each of ``SIZES``, smallest first."""
    for size in SIZES:
        files = one_repository(found, size / max(SIZES))
        parsers = {file.language: load_parser(file.language) for file in _parsed(files)}
        graph = build_graph(files)  # compiles the queries as well
        yield Speed(
            size,
            len(files),
            total_bytes(files) / 1e6,
            total_bytes(_parsed(files)) / 1e6,
            _least_seconds(rounds, partial(_parse, files, parsers)),
            _least_seconds(rounds, partial(build_graph, files)),
            len(graph.edges),
        )


def as_markdown(speeds: Sequence[Speed]) -> str:
    """The table of all sizes."""
    lines = [
        "| size | files | MB | of these parsed | edges | parse alone, s | graph, s | MB/s | graph / parse |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for speed in speeds:
        lines.append(
            f"| x{speed.size} | {speed.files:,} | {speed.megabytes:.2f} | {speed.parsed_megabytes:.2f} "
            f"| {speed.edges:,} | {speed.parse_s:.2f} | {speed.graph_s:.2f} "
            f"| {speed.megabytes / max(speed.graph_s, 1e-9):.1f} "
            f"| {speed.graph_s / max(speed.parse_s, 1e-9):.2f} |"
        )
    return "\n".join(lines)


def _parsed(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Those that the graph parses as well."""
    most = GraphConfig().max_parse_bytes
    return [file for file in files if can_read(file.language) and total_bytes([file]) <= most]


def _parse(files: Sequence[SourceFile], parsers: dict[str, Parser]) -> None:
    for file in _parsed(files):
        parsers[file.language].parse(file.text.encode(errors="surrogatepass"))


def _least_seconds(rounds: int, work: Callable[[], object]) -> float:
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)
