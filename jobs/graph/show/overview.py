"""What there is to tell of a repository's graph, whatever it is shown in. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treespan.jobs.graph.build import Edge, Graph, ImportCounts
from treespan.jobs.graph.source_file import SourceFile

SURE_ENOUGH = 0.5
"""Least weight of a tie that is shown: rather so than not, as the sampling has it."""


@dataclass(frozen=True)
class Tie:
    """All edges from one file to another."""

    source: str
    target: str
    weight: float
    """Of the surest edge, in (0, 1]."""
    count: int
    """How often the source names something of the target."""
    strength: float
    """Sum of weight times count, to rank by."""
    names: tuple[str, ...]
    """What it uses and then what it imports, each strongest first."""


@dataclass(frozen=True)
class FileFacts:
    """A file and how many others it is tied to."""

    path: str
    language: str
    symbols: int
    used_by: int
    """Files with a tie to it."""
    uses: int
    """Files that it has a tie to."""


@dataclass(frozen=True)
class Overview:
    """A repository's graph as it is shown."""

    repository: str
    files: Sequence[FileFacts]
    """The most used first."""
    ties: Sequence[Tie]
    """Those of at least ``SURE_ENOUGH``, the strongest first."""
    unsure: int
    """Pairs of files whose surest edge is less than that."""
    edges: Mapping[str, int]
    """By kind."""
    symbols: Mapping[str, int]
    """By kind, the most frequent first."""
    imports: Mapping[str, ImportCounts]
    """By language."""
    unresolved: Sequence[tuple[str, str]]
    """Path and name of imports of the repository without an edge."""
    unparsed: int


def overview(repository: str, files: Iterable[SourceFile], graph: Graph) -> Overview:
    """What ``graph``, which was built from ``files``, has to tell."""
    languages = {file.path: file.language for file in files}
    pairs = _pairs(graph.edges)
    ties = [tie for tie in pairs if tie.weight >= SURE_ENOUGH]
    used_by = Counter(tie.target for tie in ties)
    uses = Counter(tie.source for tie in ties)
    symbols = Counter(symbol.path for symbol in graph.symbols)
    facts = [
        FileFacts(path, languages[path], symbols[path], used_by[path], uses[path])
        for path in graph.paths
    ]
    kinds = Counter(symbol.kind for symbol in graph.symbols)
    return Overview(
        repository,
        sorted(facts, key=lambda file: (-file.used_by, -file.uses, file.path)),
        ties,
        len(pairs) - len(ties),
        {kind: sum(edge.kind == kind for edge in graph.edges) for kind in ("import", "use")},
        dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        graph.counts,
        graph.unresolved,
        graph.unparsed,
    )


def as_json(seen: Overview, top: int) -> dict[str, Any]:
    """The overview for machines, lists cut to ``top``."""
    return {
        "repository": seen.repository,
        "files": len(seen.files),
        "unparsed": seen.unparsed,
        "symbols": dict(seen.symbols),
        "edges": dict(seen.edges),
        "ties": len(seen.ties),
        "unsure_ties": seen.unsure,
        "imports": {language: vars(counts) for language, counts in seen.imports.items()},
        "most_used": [vars(file) for file in seen.files[:top]],
        "strongest_ties": [vars(tie) for tie in seen.ties[:top]],
        "unresolved": [{"path": path, "name": name} for path, name in seen.unresolved[:top]],
    }


def _pairs(edges: Iterable[Edge]) -> list[Tie]:
    grouped: dict[tuple[str, str], list[Edge]] = {}
    for edge in edges:
        grouped.setdefault((edge.source, edge.target), []).append(edge)
    return sorted(
        (_tie(*pair, found) for pair, found in grouped.items()),
        key=lambda tie: (-tie.strength, tie.source, tie.target),
    )


def _tie(source: str, target: str, edges: Sequence[Edge]) -> Tie:
    ranked = sorted(edges, key=lambda e: (e.kind != "use", -e.weight * e.count, e.name))
    return Tie(
        source,
        target,
        max(edge.weight for edge in edges),
        sum(edge.count for edge in edges),
        round(sum(edge.weight * edge.count for edge in edges), 3),
        tuple(dict.fromkeys(edge.name for edge in ranked)),
    )
