"""Comments: a header in every language parses as its comments, and no path breaks out of them."""

import re

import pytest
from tree_sitter import Node

from treespan.model.comments import comment_out
from treespan.model.grammars import GRAMMARS, load_parser

PAPERS_LANGUAGES = """
C, C++, C#, Go, JavaScript, Java, Kotlin, Python, TypeScript, CMake, Cuda, Julia, Markdown,
Makefile, Mathematica, PHP, PowerShell, Ruby, Rust, Shell, SQL, Swift, Vue, TSX, Lean, Haskell,
Protocol Buffer, Racket, Scheme, Dart, Erlang, Common Lisp, Ada, Dockerfile, CSS, Clojure, Elm,
OCaml, Perl, GLSL, Emacs Lisp, Zig, Agda, Thrift, Pascal, Elixir, R, YAML, Lua, Fortran,
reStructuredText, HTML, VHDL, Verilog, Scala
"""
"""The three classes of aiXcoder's list by linguist's names, but for JSON, which has no comments."""

FILES = {
    "Astro": "---\nconst a = 1;\n---\n<p>{a}</p>\n",
    "C": "int main(void) { return 0; }\n",
    "CSS": "a { b: c; }\n",
    "Clojure": "(def x 1)\n",
    "Erlang": "-module(a).\n",
    "Fortran Free Form": "program a\nend program a\n",
    "Go": "package a\n\nfunc f() {}\n",
    "GraphQL": "type A { b: Int }\n",
    "HTML": "<!DOCTYPE html>\n<html></html>\n",
    "Hack": "<?hh\nfunction f(): void {}\n",
    "Haskell": "module A where\n\nx = 1\n",
    "Java": "class A { }\n",
    "JavaScript": "#!/usr/bin/env node\nlet x = 1;\n",
    "Jsonnet": "{ a: 1 }\n",
    "MATLAB": "x = 1;\n",
    "Mermaid": "sequenceDiagram\nA->>B: hi\n",
    "OCaml": "let x = 1\n",
    "PHP": "<?php echo 1;\n",
    "PowerShell": "Write-Host 1\n",
    "Prisma": "model A {\n  id Int @id\n}\n",
    "Python": "#!/usr/bin/env python\nx = 1\n",
    "QML": "import QtQuick 2.0\nItem { }\n",
    "Racket": "#lang racket\n(define x 1)\n",
    "Ruby": "x = 1\n",
    "Rust": "fn main() {}\n",
    "Shell": "#!/bin/sh\necho 1\n",
    "Smali": ".class public La;\n.super Ljava/lang/Object;\n",
    "Svelte": "<p>x</p>\n",
    "Twig": "{{ a }}\n",
    "Vue": "<template><p>x</p></template>\n",
    "XML": "<a/>\n",
    "YAML": "a: 1\n",
    "reStructuredText": "Title\n=====\n",
}
"""Some grammars want more than comments; others are asked for an empty file."""

READ_AS_TEXT = {"BibTeX", "Markdown", "PHP"}
"""What their grammars make of it: text outside entries or tags, or a block of HTML."""


def header(path: str, language: str) -> str:
    lines = [f"the file path is: {path}", f"the code file is written by {language}"]
    return comment_out(lines, language)


def parse(language: str, text: str) -> Node:
    return load_parser(language).parse(text.encode()).root_node


@pytest.mark.parametrize("language", sorted(GRAMMARS.keys() - {"JSON"}))
def test_a_header_is_two_comments_before_a_file(language: str) -> None:
    alone, file = header("src/a-b_c.x", language), FILES.get(language, "")
    root = parse(language, alone + file)
    assert not root.has_error
    nodes = [root]
    while nodes and not any("comment" in node.type.lower() for node in nodes):
        nodes = [child for node in nodes for child in node.children]
    assert nodes or language in READ_AS_TEXT


def test_languages_of_the_paper() -> None:
    assert all(header("a", language) for language in re.split(r",\s+", PAPERS_LANGUAGES.strip()))
    assert header("a.json", "JSON") == ""
    assert header("a", "No Such Language") == ""


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a*/b.css", "CSS"),
        ("a/*b.css", "CSS"),
        ("a-->b.html", "HTML"),
        ("a*)b.ml", "OCaml"),
        ("a(*b.ml", "OCaml"),
        ("a\u2028b.js", "JavaScript"),
        ("a\rb.py", "Python"),
        ("a\n", "Python"),
        ("a\\", "C"),
    ],
)
def test_what_would_leave_its_comment_is_no_header(path: str, language: str) -> None:
    assert header("a/b", language)
    assert header(path, language) == ""
