"""A row drawn: each token has the role that it was laid out with, in every view and renderer."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from tests.jobs.packed_corpus import BODY, PACKED, document_chunks, rows_table, segment_builder

from treespan.jobs.pack.inspect.find_row import Asked, FoundRow, find_row
from treespan.jobs.pack.inspect.records import as_json
from treespan.jobs.pack.inspect.row_view import FileName, RowView, SegmentView, view_row
from treespan.jobs.pack.inspect.terminal import lines
from treespan.jobs.pack.inspect.token_text import pieces_of
from treespan.jobs.pack.inspect.web_page import row_page, segment_part
from treespan.jobs.pack.segments import FileText
from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.tokenizer import train
from treespan.platform.errors import UserError
from treespan.platform.steps import Output
from treespan.platform.store import Store

NAMES = {file.file_id: FileName("team/lib", file.path) for file in PACKED}


def segments_of(view: RowView) -> list[SegmentView]:
    return [segment for document in view.documents for segment in document.segments]


def text_of(segment: SegmentView, *roles: str) -> str:
    return "".join(run.text for run in segment.in_file_order() if run.role in roles)


def views(renderer: FimRenderer, **shares: float) -> Iterator[RowView]:
    """A row of two documents, one of a single file, and so on through the files."""
    builder = segment_builder(renderer, **shares)
    for n in range(0, len(PACKED), 4):
        chunks = document_chunks([PACKED[n : n + 1], PACKED[n + 1 : n + 2]], builder)
        row = rows_table([chunks], renderer).to_pylist()[0]
        yield view_row(row, renderer, NAMES)


FORMATS = [
    {},
    {"bos": None, "pad": "</s>", "end_of_middle": "<eom>"},
    {"header": "file_sep", "file_sep": "<sep>"},
    {"header": "file_sep", "file_sep": "<sep>", "header_place": "start"},
    {"header_place": "start"},
    {"header": "none"},
]


@pytest.mark.parametrize("values", FORMATS)
def test_roles_give_back_every_file_in_every_format(values: dict[str, str | None]) -> None:
    form = FimFormat.model_validate(values)
    tokenizer = train([BODY.format(1)], vocab_size=300, special_tokens=[*form.special_tokens()])
    renderer = FimRenderer(form, tokenizer)
    texts = {file.file_id: file.text for file in PACKED}
    objectives, orders = set(), set()
    for view in views(renderer):
        assert [document.repo for document in view.documents] == ["team/lib"] * 2
        for segment in segments_of(view):
            columns = segment.columns
            objectives.add(columns["objective"])
            orders.add(columns["order"])
            assert (
                text_of(segment, "code", "prefix", "middle", "suffix") == texts[columns["file_id"]]
            )
            header = text_of(segment, "header")
            assert ("pkg/m" in header) == (form.header != "none")
            # Tokens are covered once, in order.
            ends = [columns["start"], *(run.end for run in segment.runs)]
            assert [run.start for run in segment.runs] == ends[:-1]
            assert ends[-1] == columns["start"] + columns["length"]
            assert len(text_of(segment, "middle").encode()) == columns["middle_bytes"]
    assert objectives == {"ntp", "fim", "sfim"}
    assert orders == {"", "psm", "spm"}


def test_sentinels_and_order_as_the_model_reads_them(renderer: FimRenderer) -> None:
    expected = {
        "psm": ["BOS", "PRE", "header", "prefix", "SUF", "suffix", "MID", "middle", "EOS"],
        "spm": ["BOS", "PRE", "SUF", "suffix", "MID", "header", "prefix", "middle", "EOS"],
        "": ["BOS", "header", "code", "EOS"],
    }
    for view in views(renderer):
        for segment in segments_of(view):
            named = [run.label or run.role for run in segment.runs]
            wanted = expected[segment.columns["order"]]
            # A part of the code may be empty.
            assert named == [name for name in wanted if name in named]
            assert {"BOS", "EOS", "header"} <= set(named)


def test_what_is_no_target_is_a_run_of_its_own(renderer: FimRenderer) -> None:
    view = next(views(renderer))
    blind = [run for segment in segments_of(view) for run in segment.runs if not run.target]
    assert [run.label for run in blind] == ["BOS", "BOS"]


def test_an_unknown_name_leaves_the_header_in_the_code(renderer: FimRenderer) -> None:
    chunks = document_chunks([PACKED[:1]], segment_builder(renderer))
    view = view_row(rows_table([chunks], renderer).to_pylist()[0], renderer, {})
    (segment,) = segments_of(view)
    assert segment.name == ""
    assert "the file path is" in text_of(segment, "code", "prefix")


def test_pieces_never_split_a_character(renderer: FimRenderer) -> None:
    text = "größer 🎉 � 日本"
    pieces = list(pieces_of(renderer.tokenizer, renderer.tokenizer.encode(text)))
    assert "".join(pieces) == text
    assert "🎉" in "|".join(pieces)


def found(view: RowView) -> FoundRow:
    return FoundRow("part-00000.arrow", 3, 8, view)


def printed(row: FoundRow, **options: object) -> str:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        for part in lines(row, **options):  # type: ignore[arg-type]
            console.print(part, highlight=False, soft_wrap=True)
    return capture.get()


def hostile_row(renderer: FimRenderer, *, exact: bool = False, **changes: object) -> FoundRow:
    """A row of one masked file with what a terminal or a browser would obey in it."""
    text = 'x = f("<script>alert(1)</script>\x1b[31m")\n' * 3
    file = FileText("f" * 32, "a/<b>.py", "Python", text, "path")
    builder = segment_builder(renderer, ntp=0.0, fim=1.0, sfim=0.0)
    (chunk,) = document_chunks([[file]], builder)
    size = chunk.length if exact else chunk.length + 9
    row = rows_table([[chunk]], renderer, size).to_pylist()[0]
    row["segments"][0] |= changes
    return found(view_row(row, renderer, {file.file_id: FileName("r", file.path)}))


def test_the_terminal_shows_parts_by_labels_and_obeys_nothing(renderer: FimRenderer) -> None:
    row = hostile_row(renderer)
    for view in ("model", "file"):
        text = printed(row, view=view)
        assert "\x1b" not in text
        assert text.count("⟦") == 2  # the legend has one
        assert "r/a/<b>.py" in text
        assert "9 tokens of padding" in text
        assert ("⟨SUF⟩" in text) == (view == "model")
    # In the order of the file, the code is there without a gap.
    code = printed(row, view="file").replace("⟦", "").replace("⟧", "")
    assert code.count('x = f("<script>alert(1)</script>␛[31m")\n') == 3
    assert "·" in printed(row, tokens=True)


def test_colours_differ_by_part(renderer: FimRenderer) -> None:
    console = Console(width=80, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        for part in lines(hostile_row(renderer)):
            console.print(part, highlight=False, soft_wrap=True)
    styles = set(re.findall(r"\x1b\[([\d;]+)m", capture.get()))
    assert {"36", "32", "1;30;43", "1;35", "2"} <= styles


class Page(HTMLParser):
    """Counts tags and keeps the text of each view."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.code: list[str] = []
        self.inside = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "pre":
            self.inside += 1
            self.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside -= tag == "pre"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.code[-1] += data


def test_the_page_escapes_code_and_loads_nothing(renderer: FimRenderer) -> None:
    html = row_page(hostile_row(renderer))
    page = Page(html)
    assert "script" not in page.tags
    assert "\x1b" not in html
    assert not re.search(r"(src|href)=\"(?!#)", html)
    assert "prefers-color-scheme: dark" in html
    model, file = page.code
    assert "⟨SUF⟩" in model
    assert file.count('x = f("<script>alert(1)</script>␛[31m")\n') == 3


def test_an_empty_middle_has_its_place(renderer: FimRenderer) -> None:
    """As the middle is empty, it lies between its sentinel and the end."""
    row = hostile_row(renderer)
    (segment,) = segments_of(row.view)
    columns = segment.columns
    end = columns["middle_start"] + columns["middle_length"]
    empty = hostile_row(renderer, middle_start=end, middle_length=0, middle_bytes=0)
    (segment,) = segments_of(empty.view)
    (hole,) = [run for run in segment.runs if run.role == "middle"]
    assert (hole.tokens, hole.start) == (0, end)
    assert segment.runs[segment.runs.index(hole) + 1].label == "EOS"
    assert "⟦empty⟧" in printed(empty)
    assert ">empty<" in row_page(empty)


def test_a_row_without_padding_and_a_node_of_any_name(renderer: FimRenderer) -> None:
    row = hostile_row(renderer, exact=True, node_type="no_such_node<i>", kind="switch")
    assert "0 tokens of padding" in printed(row)
    assert "no_such_node<i> switch" in printed(row)
    html = row_page(row)
    assert "no_such_node&lt;i&gt; switch" in html
    assert 'class="padding"' not in html
    assert Page(segment_part(segments_of(row.view)[0])).tags.count("pre") == 1


def test_records_have_all_tokens(renderer: FimRenderer) -> None:
    row = hostile_row(renderer)
    record = json.loads(json.dumps(as_json(row, tokens=True)))
    (document,) = record["documents"]
    (segment,) = document["segments"]
    assert segment["file"] == "r/a/<b>.py"
    assert sum(run["end"] - run["start"] for run in segment["runs"]) == segment["length"]
    assert all("".join(run["pieces"]) == run["text"] for run in segment["runs"] if "text" in run)


def test_every_row_is_found_by_the_store_and_by_its_shard(packed: Output) -> None:
    store = packed.store
    shards = packed.files("shards/epoch-00")
    row = 0
    for shard in shards:
        within, rows = 0, 1
        while within < rows:
            of_shard = find_row(Asked(store.child(shard), within))
            rows = of_shard.rows
            assert find_row(Asked(store.uri, row)) == of_shard
            assert all(s.name.startswith("team/lib/pkg/m") for s in segments_of(of_shard.view))
            within, row = within + 1, row + 1
    with pytest.raises(UserError, match=f"no row {row}: epoch 0 has {row}"):
        find_row(Asked(store.uri, row))


def test_a_shard_by_itself_needs_its_tokenizer(
    packed: Output, tmp_path: Path, packed_store: Path
) -> None:
    shard = tmp_path / "alone.arrow"
    shutil.copy(packed_store / packed.files("shards/epoch-00")[0], shard)
    with pytest.raises(UserError, match="--tokenizer"):
        find_row(Asked(str(shard), 0))
    (folder,) = packed_store.glob("steps/tokenize-*/tokenizer")
    view = find_row(Asked(str(shard), 0, tokenizer=str(folder))).view
    assert "def add_" in text_of(segments_of(view)[0], "code", "prefix", "middle", "suffix")
    with pytest.raises(UserError, match=r"has no tokenizer\.json"):
        find_row(Asked(str(shard), 0, tokenizer=str(tmp_path)))


def test_what_is_no_shard(packed: Output, packed_store: Path, tmp_path: Path) -> None:
    (tmp_path / "text.arrow").write_text("no table")
    (files,) = packed_store.glob("steps/curate-*/files/part-00000.arrow")
    for where, said in (
        (tmp_path / "none.arrow", "does not exist"),
        (tmp_path / "text.arrow", "is no Arrow file"),
        (files, "a table, but not a shard"),
        (tmp_path, "no run that got to the step pack"),
    ):
        with pytest.raises(UserError, match=said):
            find_row(Asked(str(where), 0))


def test_the_command(packed_store: Path, tmp_path: Path, packed: Output) -> None:
    def treespan(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "treespan.platform.cli", "inspect", *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )

    shard = packed.store.child(packed.files("shards/epoch-00")[0])
    page = tmp_path / "row.html"
    shown = treespan(shard, "--row", "1", "--view", "file", "--html", str(page), "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["row"] == 1
    assert page.read_text().startswith("<!doctype html>")
    assert "document 1 of team/lib" in treespan(str(packed_store), "--row", "2").stdout
    wrong = treespan(shard, "--row", "99")
    assert wrong.returncode == 2
    assert re.search(r"there is no row 99: the shard has \d", wrong.stderr)
    wrong = treespan(shard, "--html", str(tmp_path / "none" / "row.html"))
    assert wrong.returncode == 2
    assert "cannot be written" in wrong.stderr


def test_a_shard_in_an_object_store(packed: Output, s3: Callable[[str], str]) -> None:
    """Options of the URI stay at its end, where they belong, on the way to the root of the store."""
    there = Store(s3("bucket/inspected"))
    for name in packed.store.list_files(""):
        there.write_bytes(name, packed.store.read_bytes(name))
    shard = packed.files("shards/epoch-00")[1]
    found = find_row(Asked(there.child(shard), 1))
    assert found.view == find_row(Asked(packed.store.child(shard), 1)).view
    assert found.shard == there.child(shard)
