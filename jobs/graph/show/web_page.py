"""The graph as a page: the drawing and the tables, in one file that loads nothing and runs no script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from treespan.jobs.graph.show.drawing import svg
from treespan.jobs.graph.show.layout import Layout
from treespan.jobs.graph.show.overview import SURE_ENOUGH, Overview
from treespan.jobs.graph.show.wording import (
    FILES,
    HINTS,
    HINTS_TITLE,
    IMPORTS,
    TIES,
    Row,
    file_rows,
    hint_rows,
    import_rows,
    sums,
    tie_rows,
)
from treespan.jobs.report.page import page, paragraph, section, table
from treespan.platform.visible_text import visible

_STYLE = """<style>
:root { color-scheme: light dark; }
body { max-width: 84rem; }
.drawing { overflow-x: auto; } .drawing svg { max-width: none; }
td { overflow-wrap: break-word; }
@media (prefers-color-scheme: dark) {
  body { color: #dde3ea; background: #15191e; } p.lead, .caption { color: #8d99a6; }
  th, td { border-color: #38414b; }
}
</style>"""


def graph_page(seen: Overview, layout: Layout, top: int) -> str:
    """A whole HTML document; its lists are cut to ``top``."""
    return page(visible(seen.repository), ". ".join(sums(seen)) + ".", _sections(seen, layout, top))


def _sections(seen: Overview, layout: Layout, top: int) -> Iterator[str]:
    hint = paragraph("A file under the pointer lights up what it is tied to.")
    yield f'{_STYLE}<div class="drawing">{svg(seen, layout)}</div>{hint if layout.places else ""}'
    if seen.imports:
        yield section("Imports by language", table(IMPORTS, _shown(import_rows(seen))))
    if seen.ties:
        yield section("Most used files", table(FILES, _shown(file_rows(seen, top))))
        yield section(
            "Strongest ties",
            paragraph(f"By weight times number; of a weight of at least {SURE_ENOUGH}."),
            table(TIES, _shown(tie_rows(seen, top))),
        )
    if seen.unresolved:
        yield section(
            HINTS_TITLE.capitalize(),
            table(HINTS, _shown(hint_rows(seen, top))),
        )


def _shown(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield tuple(visible(value) if isinstance(value, str) else value for value in row)
