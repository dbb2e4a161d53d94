"""Symbols, uses and their weights, limits, and equal graphs for any order of files."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.graph.build import Edge, Graph, build_graph
from treespan.jobs.graph.config import GraphConfig
from treespan.jobs.graph.facts import QUERIES, can_read, read_facts
from treespan.jobs.graph.source_file import SourceFile


def python(path: str, text: str = "") -> SourceFile:
    return SourceFile(path, "Python", text)


def uses(graph: Graph) -> dict[tuple[str, str, str], tuple[float, int]]:
    return {
        (edge.source, edge.target, edge.name): (round(edge.weight, 3), edge.count)
        for edge in graph.edges
        if edge.kind == "use"
    }


def test_symbols_have_kinds_and_lines() -> None:
    text = "LIMIT = 3\n\nclass A:\n    @dec\n    def f(self):\n        pass\n"
    symbols = build_graph([python("a.py", text)]).symbols
    assert [(s.name, s.kind, s.line) for s in symbols] == [
        ("LIMIT", "variable", 1),
        ("A", "class", 3),
        ("f", "function", 5),
    ]


def test_the_tie_between_files_sets_the_weight_of_a_use() -> None:
    graph = build_graph(
        [
            python("pkg/__init__.py", "from .impl import Engine\n"),
            python("pkg/impl.py", "class Engine:\n    def ignite(self): ...\n"),
            python("pkg/near.py", "from pkg.impl import Engine\nEngine().ignite()\nEngine()\n"),
            python("pkg/through.py", "from pkg import Engine\nEngine().ignite()\n"),
            python("pkg/far.py", "Engine().ignite()\n"),
            python("pkg/own.py", "class Engine: ...\nEngine()\n"),
        ]
    )
    found = uses(graph)
    assert found["pkg/near.py", "pkg/impl.py", "Engine"] == (0.9, 2)
    assert found["pkg/near.py", "pkg/impl.py", "ignite"] == (0.6, 1)
    assert found["pkg/through.py", "pkg/impl.py", "Engine"] == (0.6, 1)
    assert found["pkg/through.py", "pkg/impl.py", "ignite"] == (0.3, 1)
    assert found["pkg/far.py", "pkg/impl.py", "Engine"] == (0.15, 1)
    assert found["pkg/far.py", "pkg/own.py", "Engine"] == (0.15, 1)
    assert found["pkg/far.py", "pkg/impl.py", "ignite"] == (0.1, 1)
    assert not any(source == "pkg/own.py" for source, _, _ in found)


def test_names_that_say_little_are_no_evidence() -> None:
    definer = python("a.py", "def get(): ...\ndef popular(): ...\n")
    several = [python(f"d{i}.py", "def everywhere(): ...\n") for i in range(4)]
    callers = [python(f"u{i}.py", "get()\npopular()\neverywhere()\n") for i in range(12)]
    assert uses(build_graph([definer, *several, *callers])) == {}
    few = uses(build_graph([definer, *several[:3], *callers[:2]]))
    assert {name for _, _, name in few} == {"popular", "everywhere"}


def test_java_files_of_one_package_need_no_import() -> None:
    graph = build_graph(
        [
            SourceFile("a/A.java", "Java", "package p;\nclass A { B b = new B(); }\n"),
            SourceFile("b/B.java", "Java", "package p;\nclass B {}\n"),
        ]
    )
    assert uses(graph) == {("a/A.java", "b/B.java", "B"): (0.8, 2)}


def test_languages_do_not_mix() -> None:
    graph = build_graph(
        [
            python("a.py", "def transform(): ...\n"),
            SourceFile("a.js", "JavaScript", "transform();\n"),
            SourceFile("b.sh", "Shell", "transform\n"),
        ]
    )
    assert list(graph.paths) == ["a.js", "a.py", "b.sh"]
    assert not graph.edges


def test_large_files_are_nodes_without_edges() -> None:
    files = [python("a.py", "import b\n" * 3), python("b.py", "x = 1\n")]
    graph = build_graph(files, GraphConfig(max_parse_bytes=10))
    assert (graph.unparsed, list(graph.edges), list(graph.paths)) == (1, [], ["a.py", "b.py"])


def test_the_limit_is_in_bytes_as_curation_has_it() -> None:
    file = python("a.py", f"# {'é' * 60}\nx = 1\n")
    assert len(file.text) < 80 < len(file.text.encode())
    assert build_graph([file], GraphConfig(max_parse_bytes=80)).unparsed == 1


def test_edges_of_other_weight_or_count_differ() -> None:
    edge = Edge("a.py", "b.py", "use", "name", weight=0.9, count=1)
    assert edge != replace(edge, weight=0.3)
    assert edge != replace(edge, count=2)


def test_repeated_imports_are_one_edge() -> None:
    (edge,) = build_graph([python("a.py", "import b\nimport b\n"), python("b.py")]).edges
    assert (edge.source, edge.target, edge.kind, edge.name) == ("a.py", "b.py", "import", "b")
    assert (edge.weight, edge.count) == (1.0, 2)


@pytest.mark.parametrize("language", sorted(QUERIES))
@given(text=st.text())
def test_any_text_is_read(language: str, text: str) -> None:
    assert can_read(language)
    facts = read_facts(SourceFile("x", language, text))
    assert all(1 <= found.line <= text.count("\n") + 1 for found in facts.definitions)


LINES = [
    "import f{}",
    "from f{} import g",
    "from .f{} import *",
    "def n{}_name(): ...",
    "n{}_name()",
]


@given(st.data())
def test_the_order_of_files_is_no_matter(data: Any) -> None:
    line = st.builds(
        lambda form, number: form.format(number), st.sampled_from(LINES), st.integers(0, 5)
    )
    files = [
        python(f"{folder}f{number}.py", "\n".join(data.draw(st.lists(line, max_size=5))))
        for folder in ("", "d/")
        for number in range(3)
    ]
    graph = build_graph(files)
    assert build_graph(data.draw(st.permutations(files))) == graph
    assert list(graph.edges) == sorted(graph.edges)
    assert all(0 < edge.weight <= 1 and edge.count > 0 for edge in graph.edges)
    assert all(edge.source != edge.target for edge in graph.edges)
    for counts in graph.counts.values():
        assert counts.resolved <= counts.in_repository <= counts.imports
