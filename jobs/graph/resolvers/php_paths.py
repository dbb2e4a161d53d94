"""Paths that PHP code puts together from strings, constants and its own place.

``require dirname(__DIR__) . '/lib/' . NAME . '.php'`` is read as PHP would evaluate it, seen from
the top of the repository. Variables and functions are unknown; what stands behind them is kept.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from treespan.jobs.graph.resolvers.reference import inside

_TOKEN = re.compile(r"'[^'\\]*'|\"[^\"$\\]*\"|\w+|\S")
_CONSTANT = re.compile(
    r"\bdefine\s*\(\s*['\"](\w+)['\"]\s*,([^;]{0,500})\)\s*;|\bconst\s+(\w+)\s*=([^;]{0,500});"
)
_PASSES = 2
"""Constants may be made of others; deeper chains are rare (ours)."""


@dataclass(frozen=True)
class WrittenPath:
    """The value of an expression."""

    path: str
    is_whole: bool = True
    """Whether nothing unknown stands before ``path``."""
    is_placed: bool = False
    """Whether it starts at a known folder, so that no search path has a say."""


_UNKNOWN = WrittenPath("", is_whole=False)


def read_path(expression: str, path: str, constants: Mapping[str, WrittenPath]) -> WrittenPath:
    """The value of ``expression`` in the file ``path``."""
    return _Reader(_TOKEN.findall(expression), path, constants).sum()


def read_constants(texts: Mapping[str, str]) -> dict[str, WrittenPath]:
    """The constants that the files ``texts`` (by path) define; not those with several values."""
    found: dict[str, WrittenPath] = {}
    for _ in range(_PASSES):
        values: dict[str, set[WrittenPath]] = {}
        for path, text in texts.items():
            if "define" in text or "const" in text:
                for match in _CONSTANT.finditer(text):
                    name, value = match[1] or match[3], match[2] or match[4]
                    values.setdefault(name, set()).add(read_path(value, path, found))
        found = {name: known.pop() for name, known in values.items() if len(known) == 1}
    return found


class _Reader:
    def __init__(
        self, tokens: Sequence[str], path: str, constants: Mapping[str, WrittenPath]
    ) -> None:
        self._tokens, self._path, self._constants = tokens, path, constants
        self._at = 0

    def sum(self) -> WrittenPath:
        """Values joined by dots, up to what ends the expression."""
        value = self._value()
        while self._next() == ".":
            self._at += 1
            added = self._value()
            if added.is_whole:
                text = value.path + added.path
                value = WrittenPath(text, value.is_whole, value.is_placed or added.is_placed)
            else:
                value = added
        return value

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _value(self) -> WrittenPath:
        token = self._next()
        self._at += 1
        if token[:1] in ("'", '"') and len(token) > 1:
            return WrittenPath(token[1:-1])
        if token == "(":
            return self._closed()[0]
        if token == "__DIR__":
            return WrittenPath(posixpath.dirname(self._path), is_placed=True)
        if token == "__FILE__":
            return WrittenPath(self._path, is_placed=True)
        if token in ("dirname", "realpath") and self._next() == "(":
            self._at += 1
            value, levels = self._closed()
            if not value.is_placed:
                return _UNKNOWN
            up = "../" * levels if token == "dirname" else ""
            return WrittenPath(inside(value.path.lstrip("/"), up), is_placed=True)
        known = self._constants.get(token, _UNKNOWN)
        while self._next() not in ("", ".", ")", ",", ";"):  # a variable, a call, an index
            known = _UNKNOWN
            self._at += 1
            if self._tokens[self._at - 1] == "(":
                self._closed()
        return known

    def _closed(self) -> tuple[WrittenPath, int]:
        """The value up to the closing bracket, and the number behind a comma (1 without one)."""
        value, levels, depth = self.sum(), 1, 1
        while depth and self._next():
            token = self._next()
            depth += (token == "(") - (token == ")")
            # Deeper than any folder; a larger number is no path.
            levels = int(token) if token.isdecimal() and len(token) < 3 else levels
            self._at += 1
        return value, levels
