"""The graph as it is shown: what is told, where files stand, the drawing, the page, the command."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from treespan.jobs.graph.build import build_graph
from treespan.jobs.graph.show.drawing import caption, svg
from treespan.jobs.graph.show.layout import OTHERS, lay_out
from treespan.jobs.graph.show.overview import Overview, as_json, overview
from treespan.jobs.graph.show.terminal import lines
from treespan.jobs.graph.show.web_page import graph_page
from treespan.jobs.graph.source_file import SourceFile
from treespan.platform.run_record import write_run
from treespan.platform.schemas import FILES, part_name
from treespan.platform.steps import Output
from treespan.platform.store import Store

TEXTS = {
    "pkg/__init__.py": "",
    "pkg/base.py": "class Base: ...\ndef helper(): ...\n",
    "pkg/middle.py": "from pkg.base import Base, helper\nclass Middle(Base): ...\nhelper()\n",
    "pkg/app.py": "from pkg.middle import Middle\nfrom pkg.gone import lost\nMiddle()\n",
    "tests/test_app.py": "from pkg.app import Middle\nimport pkg.base\n",
    "alone.py": "",
}
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>\x1b[31m"


def seen(texts: dict[str, str], name: str = "small") -> Overview:
    files = [SourceFile(path, "Python", text) for path, text in texts.items()]
    return overview(name, files, build_graph(files))


def printed(found: Overview, top: int = 10) -> str:
    console = Console(width=100, record=True, file=open(os.devnull, "w"), force_terminal=False)  # noqa: SIM115
    for part in lines(found, top):
        console.print(part, highlight=False)
    return console.export_text()


def star(users: int) -> dict[str, str]:
    """Files that all import one."""
    return {
        "core/hub.py": "def centre(): ...\n",
        **{f"part{n % 14:02}/user{n:03}.py": "from core.hub import centre\n" for n in range(users)},
    }


def test_ties_sum_up_the_edges_between_two_files() -> None:
    found = seen(TEXTS)
    ties = {(tie.source, tie.target): tie for tie in found.ties}
    tie = ties["pkg/middle.py", "pkg/base.py"]
    assert (tie.weight, tie.count) == (1.0, 4)
    assert tie.strength == pytest.approx(2 * 1.0 + 2 * 0.9)
    assert tie.names == ("Base", "helper", "pkg.base.Base", "pkg.base.helper")
    assert found.files[0].path == "pkg/base.py"
    assert (found.files[0].used_by, found.files[0].symbols) == (2, 2)
    assert found.unresolved == [("pkg/app.py", "pkg.gone.lost")]
    assert all(before.strength >= after.strength for before, after in pairwise(found.ties))


def test_what_is_used_stands_left_of_what_uses_it() -> None:
    layout = lay_out(seen(TEXTS | {"tests/test_app.py": "from pkg.app import Middle\n"}))
    column = {place.file.path: place.column for place in layout.places}
    assert column["pkg/base.py"] < column["pkg/middle.py"] < column["pkg/app.py"]
    assert column["pkg/app.py"] < column["tests/test_app.py"]
    assert "alone.py" not in column
    assert caption(layout) == "4 files, 3 ties between them; 2 more files have none"
    assert len({(place.column, place.row) for place in layout.places}) == len(layout.places)


def test_labels_tell_files_apart() -> None:
    texts = {
        "a/__init__.py": "from a.core import x\n",
        "a/core.py": "x = 1\n",
        "b/core.py": "from a.core import x\n",
        "b/plain.py": "from a.core import x\n",
    }
    labels = {place.file.path: place.label for place in lay_out(seen(texts)).places}
    assert labels == {
        "a/__init__.py": "a/__init__.py",
        "a/core.py": "a/core.py",
        "b/core.py": "b/core.py",
        "b/plain.py": "plain.py",
    }


def test_a_folder_of_most_files_is_told_apart_by_its_own() -> None:
    texts = {f"src/lib/{part}/m{n}.py": "" for part in "ab" for n in range(3)}
    texts |= dict.fromkeys(texts, "from src.lib.a.m0 import x\n")
    texts["src/lib/a/m0.py"] = "x = 1\n"
    assert list(lay_out(seen(texts)).groups) == ["src/lib/a", "src/lib/b"]


def test_only_the_most_connected_are_drawn() -> None:
    found = seen(star(150))
    layout = lay_out(found)
    assert len(layout.places) == 100
    assert "core/hub.py" in {place.file.path for place in layout.places}
    assert caption(layout) == "The 100 most connected of 151 tied files, 99 ties between them"
    assert layout.groups[-1] == OTHERS
    assert caption(layout) in svg(found, layout)


def test_no_two_labels_meet() -> None:
    found = seen(star(60) | TEXTS)
    drawn = ET.fromstring(svg(found, lay_out(found)))
    width = float(drawn.attrib["width"])
    boxes = [
        (float(text.attrib["x"]), float(text.attrib["y"]), len(text.text or "") * 6.7)
        for text in drawn.iter(f"{SVG}text")
        if text.attrib.get("class") == "label"
    ]
    assert len(boxes) > 60
    assert all(x + length <= width for x, _, length in boxes)
    for number, (x, y, length) in enumerate(boxes):
        for other_x, other_y, other in boxes[:number]:
            beside = x + length < other_x or other_x + other < x
            assert beside or abs(y - other_y) >= 12


def test_names_cannot_escape_into_the_markup() -> None:
    texts = {f"{HOSTILE}.py": "from good import fine\nfine()\n", "good.py": "def fine(): ...\n"}
    found = seen(texts, HOSTILE)
    layout = lay_out(found)
    page = graph_page(found, layout, 10)
    for markup in (svg(found, layout), page):
        assert "<script" not in markup
        assert "&lt;script&gt;" in markup
        assert "\x1b" not in markup
    ET.fromstring(svg(found, layout))
    assert "\x1b" not in printed(found)


def test_a_repository_without_ties() -> None:
    for texts in ({}, {"a.py": "", "b.py": ""}):
        found = seen(texts)
        layout = lay_out(found)
        assert caption(layout) == "No file is tied to another one."
        ET.fromstring(svg(found, layout))
        assert "Most used files" not in graph_page(found, layout, 10)
        assert f"{len(texts)} files, 0 symbols" in printed(found)
        assert as_json(found, 10)["most_used"] == [
            {"path": path, "language": "Python", "symbols": 0, "used_by": 0, "uses": 0}
            for path in texts
        ]


def test_terminal_and_page_tell_the_same() -> None:
    found = seen(TEXTS)
    page = graph_page(found, lay_out(found), 2)
    shown = printed(found, 2)
    for said in ("6 files, 3 symbols", "pkg/base.py", "pkg.gone.lost"):
        assert said in page
        assert said in shown
    assert "alone.py" not in page + shown
    assert not re.search(r"(src|href)=|url\(|<script", page)


def test_equal_graphs_give_equal_bytes() -> None:
    backwards = dict(reversed(TEXTS.items()))
    drawings = [svg(found, lay_out(found)) for found in (seen(TEXTS), seen(backwards))]
    assert drawings[0] == drawings[1]


def treespan(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "treespan.platform.cli", "graph", *map(str, arguments)]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_the_command_on_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    for path, text in TEXTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / os.fsdecode(b"\xff.py")).write_text("import pkg.base\n")
    drawing, page = tmp_path / "graph.svg", tmp_path / "graph.html"
    told = treespan(folder, "--json", "--top", "1", "--svg", drawing, "--html", page)
    assert told.returncode == 0, told.stderr
    record = json.loads(told.stdout)
    assert (record["repository"], record["files"]) == ("small", 7)
    assert [file["path"] for file in record["most_used"]] == ["pkg/base.py"]
    assert record["imports"]["Python"]["resolved"] == record["edges"]["import"] == 6
    ET.parse(drawing)
    assert page.read_text().startswith("<!doctype html>")
    wrong = treespan(folder, "--svg", tmp_path / "none" / "graph.svg")
    assert wrong.returncode == 2
    assert "cannot be written" in wrong.stderr


def test_the_command_on_a_run(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    rows = [
        {"repo": repo, "path": path, "language": "Python", "content": text}
        for repo in ("alpha", "npm:beta")
        for path, text in TEXTS.items()
    ]
    name = f"files/{part_name(0)}"
    table = pa.Table.from_pylist(rows, schema=FILES)
    store.write_table(f"steps/curate-1/{name}", FILES, table.to_batches())
    manifest = {"step": "curate", "digest": "1", "files": [{"path": name}], "counts": {}}
    store.write_json("steps/curate-1/manifest.json", manifest)
    write_run(store, "r", {"curate": Output(store, "steps/curate-1", manifest)}, ("curate",))
    shown = treespan("npm:beta", "--store", tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("npm:beta\n6 files, 3 symbols")
    for asked, said in (
        ("beta", "Did you mean npm:beta?"),
        ("alpah", "Did you mean alpha?"),
        ("zzz", "Give the name of a repository of the run, or a folder."),
    ):
        wrong = treespan(asked, "--store", tmp_path)
        assert wrong.returncode == 2
        assert f"has no repository {asked!r}" in wrong.stderr
        assert said in wrong.stderr
