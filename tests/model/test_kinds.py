"""The thirteen kinds: what they are in each language, and what holds of them in any text."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from treespan.model import kinds, span_source, tokenizer
from treespan.model.grammars import GRAMMARS, load_parser
from treespan.model.kinds import KINDS, has_kinds, kind_spans
from treespan.model.kinds.captures import COMPOUNDS, QUERIES

EXAMPLES: dict[str, dict[str, Any]] = {
    example["language"]: example
    for path in sorted((Path(__file__).parent / "kinds").glob("*.yaml"))
    for example in [yaml.safe_load(path.read_text(encoding="utf-8"))]
}
"""A text of each language, and its spans of each kind as they stand in it; of ``empty`` the lines
that they end, from 1."""
RUNS = ("body-top", "body-mid", "body-bottom")

Spans = dict[str, list[tuple[int, int]]]


def spans_of(data: bytes, language: str) -> Spans:
    return kind_spans(load_parser(language).parse(data).root_node, data, language)


def texts(source: str, language: str) -> dict[str, list[str]]:
    data = source.encode()
    found = spans_of(data, language)
    return {kind: [data[start:end].decode() for start, end in found[kind]] for kind in found}


def ends_line(data: bytes, end: int) -> bool:
    return not data[end:].split(b"\n", 1)[0].strip()


def check(spans: Spans, data: bytes) -> None:
    """What holds of the spans of any text."""
    assert list(spans) == [kind for kind in KINDS if kind in spans]
    for kind, found in spans.items():
        assert found
        assert found == sorted(set(found))
        for start, end in found:
            assert 0 <= start <= end <= len(data)
            assert data[start:end].decode().encode() == data[start:end]
            assert (start == end) == (kind == "empty")
            assert data[start:end] == data[start:end].strip()
            if kind in ("single-line", "empty", *RUNS, *COMPOUNDS):
                assert ends_line(data, end)
            if kind in ("single-line", *RUNS, *COMPOUNDS):
                assert not data[data.rfind(b"\n", 0, start) + 1 : start].strip()
    assert all(b"\n" not in data[s:e] for s, e in spans.get("single-line", []))
    bodies = spans.get("method-body", [])
    for kind in RUNS:
        for start, end in spans.get(kind, []):
            assert any(low <= start and end <= high for low, high in bodies)


def test_every_language_has_an_example_and_a_grammar() -> None:
    assert set(EXAMPLES) == set(QUERIES)
    assert all(has_kinds(language) for language in QUERIES)
    assert QUERIES.keys() <= GRAMMARS.keys()
    assert not has_kinds("Haskell")
    assert not has_kinds("No Such Language")


@pytest.mark.parametrize("language", EXAMPLES)
def test_spans_of_each_kind(language: str) -> None:
    source, expected = EXAMPLES[language]["source"], EXAMPLES[language]["spans"]
    found: dict[str, Any] = texts(source, language)
    found["empty"] = [
        source.encode()[:start].count(b"\n") + 1
        for start, _ in spans_of(source.encode(), language)["empty"]
    ]
    assert found == expected


@pytest.mark.parametrize("language", EXAMPLES)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_holds_of_all_spans(language: str, line_end: str) -> None:
    data = EXAMPLES[language]["source"].replace("\n", line_end).encode()
    spans = spans_of(data, language)
    check(spans, data)
    bodies = [start for start, _ in spans["method-body"]]
    for _, end in spans["method-signature"]:
        between = data[end : min(start for start in bodies if start >= end)].strip()
        assert between in (b"", b"{", b"do", b"# noqa", b'"""The area in square metres."""')


@pytest.mark.parametrize("language", EXAMPLES)
def test_line_ends_make_no_difference(language: str) -> None:
    source = EXAMPLES[language]["source"]
    windows = texts(source.replace("\n", "\r\n"), language)
    assert {k: [t.replace("\r", "") for t in v] for k, v in windows.items()} == texts(
        source, language
    )


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(EXAMPLES)),
    st.floats(0, 1),
    st.integers(0, 60),
    st.text("(){}[]:=;+,x1é \n\t\"'#/*", max_size=6),
)
def test_broken_code_breaks_nothing(language: str, at: float, cut: int, put: str) -> None:
    source: str = EXAMPLES[language]["source"]
    first = int(at * len(source))
    data = (source[:first] + put + source[first + cut :]).encode()
    check(spans_of(data, language), data)


@pytest.mark.parametrize("module", [kinds, span_source, tokenizer])
def test_real_code(module: object) -> None:
    data = inspect.getsource(module).encode()  # type: ignore[arg-type]
    spans = spans_of(data, "Python")
    check(spans, data)
    assert len(spans["method-signature"]) == data.count(b"def ")
    assert len(spans["method-with-comment"]) <= len(spans["method-body"])
    assert spans == spans_of(data, "Python")


def test_nothing_has_no_spans() -> None:
    assert spans_of(b"", "Python") == {}
    assert spans_of(b"\n\n", "Java") == {}
    with pytest.raises(KeyError):
        spans_of(b"main = 1\n", "Haskell")


def test_an_else_if_belongs_to_its_if() -> None:
    for language, source in {
        "C": "void f() {\n  if (a)\n    b();\n  else if (c) {\n    d();\n  }\n}\n",
        "Python": "if a:\n    b()\nelif c:\n    d()\nelse:\n    e()\n",
        "Lua": "if a then\n  b()\nelseif c then\n  d()\nend\n",
    }.items():
        assert len(texts(source, language)["if"]) == 1


def test_bodies_of_few_statements_have_no_parts() -> None:
    two = "def f():\n    a()\n    b()\n"
    assert not set(texts(two, "Python")) & set(RUNS)
    eight = "def f():\n" + "".join(f"    a({i})\n" for i in range(8))
    parts = texts(eight, "Python")
    assert [parts[kind][0].count("\n") + 1 for kind in RUNS] == [2, 4, 2]
    one_line = "void f() { a(); b(); c(); }\n"
    assert not set(texts(one_line, "C")) & set(RUNS)


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("Go", "package a\nfunc f() {\n// a\na()\n// b\nb()\nc()\n// c\n}\n"),
        ("Swift", "func f() {\n// a\na()\n// b\nb()\nc()\n// c\n}\n"),
        ("Kotlin", "fun f() {\n// a\na()\n// b\nb()\nc()\n// c\n}\n"),
        ("Rust", "fn f() {\n// a\na();\n// b\nb();\nc();\n// c\n}\n"),
    ],
)
def test_comments_are_no_statements_of_a_body(language: str, source: str) -> None:
    parts = texts(source, language)
    assert [parts[kind][0].rstrip(";") for kind in RUNS] == ["a()", "b()", "c()"]


def test_only_a_comment_right_above_belongs_to_a_method() -> None:
    above = "int a; // a\n\n/* b */\n\n// c\n// d\nint f() { return 1; }\n"
    assert texts(above, "C")["method-with-comment"] == ["// c\n// d\nint f() { return 1; }"]
    assert "method-with-comment" not in texts("int a; // a\nint f() { return 1; }\n", "C")


def test_comments_between_signature_and_body_of_a_python_function() -> None:
    source = "def f():  # a\n    # b\n    return 1  # c\n"
    assert texts(source, "Python")["method-signature"] == ["def f():"]
    assert texts(source, "Python")["method-body"] == ["# b\n    return 1  # c"]


def test_a_default_argument_is_no_body() -> None:
    found = texts("function f(g = () => { a(); }) {\n  b();\n}\n", "JavaScript")
    assert found["method-signature"] == ["function f(g = () => { a(); })"]
    assert found["method-body"] == ["a();", "b();"]


def test_words_around_a_body_are_no_part_of_it() -> None:
    source = "def f(x) do\n  legend\n"
    assert "method-body" not in texts(source, "Elixir")
    found = texts(source + "end\n", "Elixir")
    assert (found["method-signature"], found["method-body"]) == (["def f(x)"], ["legend"])
    assert texts("def f(x), do: {x, 1}\n", "Elixir")["method-body"] == ["{x, 1}"]


def test_what_hides_a_method_of_elixir_does_not_document_it() -> None:
    source = "@doc {}\ndef f(x) do\n  x\nend\n"
    assert "method-with-comment" not in texts(source.format("false"), "Elixir")
    assert len(texts(source.format('"Same."'), "Elixir")["method-with-comment"]) == 1


@pytest.mark.parametrize("language", ["C", "Elixir", "JavaScript", "Lua", "Python", "Ruby"])
def test_an_if_that_is_cut_out_is_an_if(language: str) -> None:
    for text in texts(EXAMPLES[language]["source"], language)["if"]:
        root = load_parser(language).parse(text.encode()).root_node
        assert not root.has_error
        alone = root.named_children[0]
        assert (alone.start_byte, alone.end_byte) == (0, len(text.encode()))
