"""A short look at a text, and at what tells two texts apart; both bounded, whatever the texts are."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

HEAD_LINES, MIDDLE_LINES = 5, 5
"""Lines of an excerpt: the first show headers and licences, the middle shows the code (ours)."""
LINE_CHARACTERS = 120
"""Longer lines are cut."""
DIFF_LINES = 24
"""Lines of a difference that are shown."""
COMPARED_LINES = 1000
"""Lines of each text that are compared: comparing is quadratic where much repeats."""
GAP = "⋮"
"""Stands for lines that are not shown."""


def excerpt(text: str) -> str:
    """The first lines of ``text`` and some of its middle; blank lines at the start are left out."""
    lines = text.strip("\r\n").splitlines()
    if len(lines) <= HEAD_LINES + MIDDLE_LINES:
        return "\n".join(map(_cut, lines))
    middle = max(HEAD_LINES, (len(lines) - MIDDLE_LINES) // 2)
    shown = [*map(_cut, lines[:HEAD_LINES]), *([GAP] if middle > HEAD_LINES else [])]
    shown += map(_cut, lines[middle : middle + MIDDLE_LINES])
    return "\n".join([*shown, GAP] if middle + MIDDLE_LINES < len(lines) else shown)


def difference(kept: str, dropped: str) -> str:
    """What ``dropped`` has other than ``kept``, as a unified diff without its heading.

    Texts that differ in their line ends only, or behind the lines that are compared, give ``""``.
    """
    old, new = (text.splitlines()[:COMPARED_LINES] for text in (kept, dropped))
    changes = list(difflib.unified_diff(old, new, n=1, lineterm=""))[2:]
    return "\n".join(map(_cut, _bounded(changes)))


def _bounded(lines: Sequence[str]) -> Sequence[str]:
    if len(lines) <= DIFF_LINES:
        return lines
    return [*lines[:DIFF_LINES], f"{GAP} {len(lines) - DIFF_LINES:,} more lines"]


def _cut(line: str) -> str:
    # A carriage return or an escape sequence would act on the terminal that shows it.
    shown = "".join(c if c.isprintable() or c == "\t" else "�" for c in line[:LINE_CHARACTERS])
    return shown if len(line) <= LINE_CHARACTERS else f"{shown}…"
