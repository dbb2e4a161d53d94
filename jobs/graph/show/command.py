"""What ``treespan graph`` does, from the name of a repository to files and lines."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from treespan.jobs.graph.build import build_graph
from treespan.jobs.graph.read import folder_files, stored_repository
from treespan.jobs.graph.show.drawing import svg
from treespan.jobs.graph.show.layout import lay_out
from treespan.jobs.graph.show.overview import Overview, as_json, overview
from treespan.jobs.graph.show.terminal import lines
from treespan.jobs.graph.show.web_page import graph_page
from treespan.platform.errors import UserError
from treespan.platform.store import Store


@dataclass(frozen=True)
class Asked:
    """Which graph to show, and where."""

    repository: str
    """A folder, or else the name of a repository of the run."""
    store: str
    run: str | None
    top: int
    svg: Path | None
    html: Path | None
    as_json: bool


def show_graph(asked: Asked) -> None:
    """Print the graph that is ``asked`` for, and write its drawing and page."""
    seen = _overview(asked)
    if asked.svg is not None or asked.html is not None:
        layout = lay_out(seen)
        if asked.svg is not None:
            _write(asked.svg, svg(seen, layout))
        if asked.html is not None:
            _write(asked.html, graph_page(seen, layout, asked.top))
    if asked.as_json:
        print(json.dumps(as_json(seen, asked.top), indent=1, ensure_ascii=False))
        return
    console = Console()
    for part in lines(seen, asked.top):
        console.print(part, highlight=False)
    for path in filter(None, (asked.svg, asked.html)):
        console.print(f"The graph is drawn in {path}.", highlight=False, markup=False)


def _overview(asked: Asked) -> Overview:
    folder = Path(asked.repository)
    if folder.is_dir():
        files, name = folder_files(folder), folder.resolve().name
        if not files:
            raise UserError(f"{folder} holds no code.", "Give a folder of source files.")
    else:
        name = asked.repository
        files = stored_repository(Store(asked.store), name, asked.run)
    return overview(name, files, build_graph(files))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}).", "Give another place for it."
        ) from None
