"""The graph in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from treespan.jobs.graph.show.overview import SURE_ENOUGH, Overview
from treespan.jobs.graph.show.wording import (
    FILES,
    HINTS,
    HINTS_TITLE,
    IMPORTS,
    Row,
    file_rows,
    hint_rows,
    import_rows,
    sums,
    tie_rows,
)
from treespan.platform.visible_text import visible

_TIES = ("weight", "times", "file → what it builds on, and the names")


def lines(seen: Overview, top: int) -> Iterator[RenderableType]:
    """What to print, piece by piece; the lists are cut to ``top``."""
    yield Text(visible(seen.repository), style="bold")
    for said in sums(seen):
        yield Text(said)
    if seen.imports:
        yield _table("imports by language", IMPORTS, import_rows(seen))
    if seen.ties:
        yield _table("most used files", FILES, file_rows(seen, top))
        yield _table(f"strongest ties (weight at least {SURE_ENOUGH})", _TIES, _ties(seen, top))
    if seen.unresolved:
        yield _table(HINTS_TITLE, HINTS, hint_rows(seen, top))


def _ties(seen: Overview, top: int) -> Iterator[Row]:
    """Two paths and their names side by side would leave none of them room."""
    for source, target, weight, times, names in tie_rows(seen, top):
        yield weight, times, f"{source} → {target}\n  {names}"


def _table(title: str, headings: Sequence[str], rows: Iterable[Row]) -> Table:
    table = Table(title=title, title_justify="left")
    shown = list(rows)
    for heading, value in zip(headings, shown[0], strict=True):
        number = not isinstance(value, str)
        table.add_column(
            heading, justify="right" if number else "left", overflow="fold", no_wrap=number
        )
    for row in shown:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: str | float | None) -> Text:
    if isinstance(value, float):
        return Text(f"{value:,.3f}")
    if isinstance(value, int):
        return Text(f"{value:,}")
    return Text("–" if value is None else visible(value))
