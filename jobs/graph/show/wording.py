"""What the terminal and the page say alike of a graph."""

from __future__ import annotations

from collections.abc import Iterator

from treespan.jobs.graph.show.overview import SURE_ENOUGH, Overview, Tie

Row = tuple[str | float | None, ...]

IMPORTS = ("language", "imports", "in the repository", "resolved", "share")
FILES = ("file", "used by", "uses", "symbols")
TIES = ("file", "builds on", "weight", "times", "names")
HINTS = ("file", "import")
HINTS_TITLE = "imports of the repository that lead to no file, or to one that was dropped"

_NAMES = 4
"""Names of a tie that are told: a table is no list of all."""


def sums(seen: Overview) -> Iterator[str]:
    """The size of the graph in a few sentences."""
    symbols = ", ".join(f"{_plural(count, kind)}" for kind, count in seen.symbols.items())
    total = sum(seen.symbols.values())
    yield (
        f"{_plural(len(seen.files), 'file')}, {_plural(total, 'symbol')}"
        f"{f' ({symbols})' if symbols else ''}"
    )
    yield (
        f"{_plural(seen.edges['import'], 'edge')} by import, {seen.edges['use']:,} by use; "
        f"they tie {_plural(len(seen.ties), 'pair')} of files, and {seen.unsure:,} more with a "
        f"weight below {SURE_ENOUGH}"
    )
    if seen.unparsed:
        yield f"{_plural(seen.unparsed, 'file')} too large to be parsed"


def import_rows(seen: Overview) -> Iterator[Row]:
    """``IMPORTS``: how far the imports of each language were resolved."""
    for language, counts in seen.imports.items():
        share = counts.resolved / counts.in_repository if counts.in_repository else None
        yield language, counts.imports, counts.in_repository, counts.resolved, share


def file_rows(seen: Overview, top: int) -> Iterator[Row]:
    """``FILES``: those that most others are tied to."""
    for file in seen.files[:top]:
        yield file.path, file.used_by, file.uses, file.symbols


def tie_rows(seen: Overview, top: int) -> Iterator[Row]:
    """``TIES``: the strongest."""
    for tie in seen.ties[:top]:
        yield tie.source, tie.target, tie.weight, tie.count, names_of(tie)


def hint_rows(seen: Overview, top: int) -> Iterator[Row]:
    """``HINTS``: what could not be resolved."""
    yield from seen.unresolved[:top]


def names_of(tie: Tie) -> str:
    """The strongest names of a tie."""
    more = len(tie.names) - _NAMES
    return ", ".join(tie.names[:_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def _plural(count: int, what: str) -> str:
    ending = "" if count == 1 else "es" if what.endswith("s") else "s"
    return f"{count:,} {what}{ending}"
