"""A row in the terminal. Brackets and labels say in any terminal what colours say in most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.rule import Rule
from rich.text import Text

from treespan.jobs.pack.inspect.find_row import FoundRow
from treespan.jobs.pack.inspect.row_view import Role, Run, SegmentView
from treespan.jobs.pack.inspect.wording import (
    EMPTY_HOLE,
    View,
    document_of,
    facts_of,
    head_of,
    padding_of,
)
from treespan.platform.visible_text import visible

_STYLES: Mapping[Role, str] = {
    "sentinel": "bold magenta",
    "header": "dim",
    "code": "",
    "prefix": "cyan",
    "middle": "bold black on yellow",
    "suffix": "green",
}
_NO_TARGET = "underline"
_BOUNDARY = "·"


def lines(
    found: FoundRow, view: View = "model", *, tokens: bool = False
) -> Iterator[RenderableType]:
    """What to print of a row, piece by piece. ``tokens`` puts a dot between any two."""
    yield Text(head_of(found))
    yield _legend(tokens)
    number = 0
    for place, document in enumerate(found.view.documents, 1):
        yield Rule(Text(document_of(place, document)), characters="━", align="left")
        for segment in document.segments:
            number += 1
            yield _heading(number, segment)
            runs = segment.runs if view == "model" else segment.in_file_order()
            yield _code(runs, tokens)
    yield Rule(characters="━")
    yield Text(padding_of(found.view), style="dim")


def _legend(tokens: bool) -> Text:
    text = Text()
    for role in ("header", "prefix", "suffix", "middle"):
        text.append(f"⟦{role}⟧" if role == "middle" else role, style=_STYLES[role])
        text.append("  ")
    text.append("no target", style=_NO_TARGET)
    text.append(f"  {_BOUNDARY} between tokens" if tokens else "")
    return text


def _heading(number: int, segment: SegmentView) -> Text:
    text = Text()
    text.append(f"{number} {segment.title}", style="bold")
    text.append(f"  {visible(segment.name)}\n" if segment.name else "\n")
    text.append(f"  {visible(', '.join(facts_of(segment)))}", style="dim")
    return text


def _code(runs: tuple[Run, ...], tokens: bool) -> Text:
    text = Text()
    for place, run in enumerate(runs):
        style = _STYLES[run.role] if run.target else f"{_STYLES[run.role]} {_NO_TARGET}".strip()
        middle = run.role == "middle"
        opens = middle and (not place or runs[place - 1].role != "middle")
        closes = middle and (place + 1 == len(runs) or runs[place + 1].role != "middle")
        text.append("⟦" if opens else "", style=style)
        if run.role == "sentinel":
            text.append(f"⟨{run.label}⟩", style=style)
        elif middle and not run.tokens:
            text.append(EMPTY_HOLE, style=style)
        else:
            _append_pieces(text, run, style, tokens)
        text.append("⟧" if closes else "", style=style)
    text.rstrip()
    return text


def _append_pieces(text: Text, run: Run, style: str, tokens: bool) -> None:
    if not tokens:
        text.append(visible(run.text), style=style)
        return
    for place, piece in enumerate(run.pieces):
        text.append(_BOUNDARY if place else "", style="dim")
        text.append(visible(piece), style=style)
