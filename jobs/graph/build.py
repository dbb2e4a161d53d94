"""From the files of one repository to its graph: a pure function, the same for any order of files."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from treespan.jobs.graph.config import GraphConfig
from treespan.jobs.graph.facts import NOTHING, Facts, can_read, read_facts
from treespan.jobs.graph.resolvers import FAMILIES, Sources
from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.graph.uses import Uses

EdgeKind = Literal["import", "use"]

BROKEN = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a resolver may raise for code or configuration that nobody would write. Such files lose their
imports and are counted: one file must not stop a job."""


@dataclass(frozen=True, order=True)
class Edge:
    """``source`` imports or uses what ``target`` defines."""

    source: str
    target: str
    kind: EdgeKind
    name: str
    weight: float
    """How sure it is, in (0, 1]."""
    count: int
    """How often the name occurs."""


@dataclass(frozen=True)
class Symbol:
    """What a file defines; ``line`` counts from 1."""

    path: str
    name: str
    kind: str
    line: int


@dataclass
class ImportCounts:
    """How far the imports of a language were resolved. One imported name is one import; those that
    mean a part of their own file are not counted.
    """

    imports: int = 0
    in_repository: int = 0
    """Those that mean a file of the repository, told without resolving them."""
    resolved: int = 0
    """Those of ``in_repository`` that have an edge."""


@dataclass(frozen=True)
class Graph:
    """Files by path, what they define, and how they are tied; all sorted."""

    paths: Sequence[str]
    symbols: Sequence[Symbol]
    edges: Sequence[Edge]
    counts: dict[str, ImportCounts]
    """By language."""
    unresolved: Sequence[tuple[str, str]]
    """Path and name of the imports of the repository without an edge."""
    unparsed: int
    """Files of a language with a query that were too large to be parsed."""
    unresolvable: int
    """Files whose imports no resolver could make sense of, and failed."""


@contextmanager
def _uncollected() -> Iterator[None]:
    # The facts of a repository are many small records without cycles. The collector would walk all
    # of them again and again to find nothing.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_uncollected()
def build_graph(files: Sequence[SourceFile], config: GraphConfig | None = None) -> Graph:
    """The graph of ``files``, which are all of one repository, each with a path of its own."""
    config = config or GraphConfig()
    ordered = sorted(files, key=lambda file: file.path)
    facts: list[Facts] = []
    unparsed = unresolvable = 0
    for file in ordered:
        readable = can_read(file.language)
        small = readable and _size(file) <= config.max_parse_bytes
        facts.append(read_facts(file) if small else NOTHING)
        unparsed += readable and not small
    sources = Sources(ordered, facts)
    edges: dict[tuple[int, int, EdgeKind, str], tuple[float, int]] = {}
    imports: list[dict[int, float]] = [{} for _ in ordered]
    counts: dict[str, ImportCounts] = {}
    unresolved: list[tuple[str, str]] = []
    for languages, make_resolver in FAMILIES.items():
        members = [index for index in sources.of(languages) if facts[index] is not NOTHING]
        try:
            resolver = make_resolver(sources) if members else None
        except BROKEN:
            unresolvable += len(members)
            continue
        for index in members:
            assert resolver is not None
            counted = counts.setdefault(ordered[index].language, ImportCounts())
            try:
                references = list(resolver.references(index))
            except BROKEN:
                unresolvable += 1
                continue
            for reference in references:
                targets = {at: w for at, w in reference.targets.items() if at != index}
                if reference.targets and not targets:
                    continue
                counted.imports += 1
                counted.in_repository += reference.in_repository
                counted.resolved += reference.in_repository and bool(targets)
                if reference.in_repository and not targets:
                    unresolved.append((ordered[index].path, reference.name))
                for target, weight in targets.items():
                    key: tuple[int, int, EdgeKind, str] = (index, target, "import", reference.name)
                    before, count = edges.get(key, (0.0, 0))
                    edges[key] = max(before, weight), count + 1
                    imports[index][target] = max(imports[index].get(target, 0.0), weight)
    for index, target, name, weight, count in Uses(sources, imports).edges():
        use: tuple[int, int, EdgeKind, str] = (index, target, "use", name)
        before, counted_before = edges.get(use, (0.0, 0))
        edges[use] = max(before, weight), counted_before + count
    return Graph(
        [file.path for file in ordered],
        [
            Symbol(file.path, found.name, found.kind, found.line)
            for file, known in zip(ordered, facts, strict=True)
            for found in known.definitions
        ],
        [
            Edge(ordered[source].path, ordered[target].path, kind, name, *edges[key])
            for key in sorted(edges)
            for source, target, kind, name in [key]
        ],
        dict(sorted(counts.items())),
        sorted(set(unresolved)),
        unparsed,
        unresolvable,
    )


def _size(file: SourceFile) -> int:
    return len(file.text.encode(errors="surrogatepass"))
