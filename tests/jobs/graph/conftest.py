"""Small repositories, written out as texts by path."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from treespan.jobs.graph.build import Graph, build_graph
from treespan.jobs.graph.source_file import SourceFile
from treespan.platform.language import detect_language


@dataclass(frozen=True)
class Resolved:
    """The imports of a small repository."""

    graph: Graph

    def of(self, path: str) -> dict[str, dict[str, float]]:
        """What the file at ``path`` imports: name -> file -> weight."""
        found: dict[str, dict[str, float]] = {}
        for edge in self.graph.edges:
            if edge.kind == "import" and edge.source == path:
                found.setdefault(edge.name, {})[edge.target] = round(edge.weight, 3)
        return found

    @property
    def unresolved(self) -> list[tuple[str, str]]:
        return list(self.graph.unresolved)


Resolve = Callable[[Mapping[str, str]], Resolved]


@pytest.fixture
def resolve() -> Resolve:
    """Resolves the imports of texts by path, and checks that the order of files is no matter."""

    def resolved(texts: Mapping[str, str]) -> Resolved:
        files = []
        for path, text in texts.items():
            code = textwrap.dedent(text)
            files.append(SourceFile(path, detect_language(path, code.encode()), code))
        graph = build_graph(files)
        assert build_graph(files[::-1]) == graph
        return Resolved(graph)

    return resolved
