"""Which files of a repository a file imports, for the dependency strategy.

Imports are found with one tree-sitter query per language and resolved by path alone, so a
repository needs no build. Only imports of files of the same repository count.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Parser, Query, QueryCursor

from treespan.model.grammars import load_language

_PYTHON = """
(import_statement name: (dotted_name) @module)
(import_statement name: (aliased_import name: (dotted_name) @module))
(import_from_statement module_name: (_) @from) @statement
"""
_ECMASCRIPT = """
(import_statement source: (string) @path)
(export_statement source: (string) @path)
(call_expression function: (identifier) @_name arguments: (arguments (string) @path)
  (#eq? @_name "require"))
"""
_INCLUDE = "(preproc_include path: (string_literal) @path)"
QUERIES = {
    "Python": _PYTHON,
    "JavaScript": _ECMASCRIPT,
    "TypeScript": _ECMASCRIPT,
    "TSX": _ECMASCRIPT,
    "C": _INCLUDE,
    "C++": _INCLUDE,
}
_ECMASCRIPT_ENDINGS = ("", ".ts", ".tsx", ".js", ".jsx", ".mjs", "/index.ts", "/index.js")


@dataclass(frozen=True)
class SourceFile:
    """What the strategies need to know of a file."""

    path: str
    language: str
    text: str


def import_edges(files: Sequence[SourceFile]) -> list[tuple[int, int]]:
    """Pairs (importing, imported) of indices into ``files``, sorted, without repeats."""
    by_path = {file.path: index for index, file in enumerate(files)}
    by_module: dict[str, list[int]] = {}
    for index, file in enumerate(files):
        if file.language == "Python":
            for module in _module_names(file.path):
                by_module.setdefault(module, []).append(index)
    edges: set[tuple[int, int]] = set()
    for index, file in enumerate(files):
        if file.language == "Python":
            targets = _python_targets(file, by_module)
        elif file.language in QUERIES:
            targets = _path_targets(file, by_path)
        else:
            continue
        edges.update((index, target) for target in targets if target != index)
    return sorted(edges)


def _module_names(path: str) -> list[str]:
    """Names under which a Python file may be imported: its path's tails, the longest first.

    Where the import root lies is unknown (``src/``, ``lib/``), so every folder may be it.
    """
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return [".".join(parts[start:]) for start in range(len(parts))]


def _python_targets(file: SourceFile, by_module: dict[str, list[int]]) -> Iterator[int]:
    package = posixpath.dirname(file.path).split("/") if "/" in file.path else []
    for module, names in _python_imports(file.text):
        level = len(module) - len(module.lstrip("."))
        if level > len(package) + 1:
            continue
        base = module.lstrip(".")
        if level:
            base = ".".join([*package[: len(package) - level + 1], *([base] if base else [])])
        # `from a import b` means the file a/b.py where there is one, and a itself otherwise.
        submodules = [found for name in names if (found := by_module.get(f"{base}.{name}"))]
        for candidates in submodules or [by_module.get(base, [])]:
            # A name that several files could answer to is no evidence for any of them.
            if len(candidates) == 1:
                yield candidates[0]


def _python_imports(text: str) -> Iterator[tuple[str, list[str]]]:
    for _, captures in _matches("Python", text):
        if "module" in captures:
            yield captures["module"][0], []
        else:
            module = captures["from"][0]
            imported = captures["statement"][0].partition(" import ")[2]
            yield module, [name.split(" as ")[0].strip("() \n\\") for name in imported.split(",")]


def _path_targets(file: SourceFile, by_path: dict[str, int]) -> Iterator[int]:
    folder = posixpath.dirname(file.path)
    is_include = file.language in ("C", "C++")
    for _, captures in _matches(file.language, file.text):
        for quoted in captures.get("path", []):
            written = quoted.strip("\"'`")
            if is_include:
                candidates = [posixpath.join(folder, written), written, f"include/{written}"]
            elif written.startswith("."):
                joined = posixpath.join(folder, written)
                candidates = [joined + ending for ending in _ECMASCRIPT_ENDINGS]
            else:
                continue
            for candidate in candidates:
                target = by_path.get(posixpath.normpath(candidate))
                if target is not None:
                    yield target
                    break


def _matches(language: str, text: str) -> Iterator[tuple[int, dict[str, list[str]]]]:
    parser, query = _compiled(language)
    data = text.encode()
    for pattern, captures in QueryCursor(query).matches(parser.parse(data).root_node):
        yield (
            pattern,
            {
                name: [
                    data[node.start_byte : node.end_byte].decode(errors="replace") for node in nodes
                ]
                for name, nodes in captures.items()
            },
        )


@lru_cache
def _compiled(language: str) -> tuple[Parser, Query]:
    grammar = load_language(language)
    return Parser(grammar), Query(grammar, QUERIES[language])
