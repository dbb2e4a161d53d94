"""Some structured holes of a packed step, drawn in the page as they stand in their files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from treespan.jobs.pack.inspect.find_row import view_of
from treespan.jobs.pack.inspect.row_view import SegmentView
from treespan.jobs.pack.inspect.web_page import STYLE, segment_part
from treespan.platform.draws import hash64, permutation
from treespan.platform.steps import Output

_SHOWN = 3
_TOKENS = range(80, 500)
"""Of a segment that is shown (ours): more than a few lines, and not over a screen."""


def example_segments(pack: Output, shown: int = _SHOWN) -> list[str]:
    """So many segments as HTML, or fewer where the first shard has fewer that are short enough.

    A batch of rows after the other is read, in the order of a hash, until there are enough.
    """
    shards = pack.files("shards/epoch-00")
    if not shards:
        return []
    chosen = sorted(_candidates(pack, shards[0], shown), key=lambda found: found[0])[:shown]
    parts = [segment_part(_segment(pack, shards[0], row, start)) for _, row, start in chosen]
    return [f"<style>{STYLE}</style>", *parts] if parts else []


def _candidates(pack: Output, shard: str, wanted: int) -> list[tuple[int, int, int]]:
    """Draw, row, and first token within it."""
    found: list[tuple[int, int, int]] = []
    with pack.store.open_table(shard, ["segments"]) as reader:
        sizes = [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]
        for number in permutation(len(sizes), "report", "batches").tolist():
            first = sum(sizes[:number])
            rows = reader.get_batch(number)["segments"].to_pylist()
            found += _suitable(rows, first)
            if len(found) >= wanted:
                break
    return found


def _suitable(rows: list[list[dict[str, Any]]], first: int) -> Iterator[tuple[int, int, int]]:
    for number, segments in enumerate(rows, first):
        for segment in segments:
            structured = segment["objective"].startswith("sfim") and segment["middle_length"]
            if structured and segment["length"] in _TOKENS:
                draw = hash64("report", "example", segment["file_id"], segment["start"])
                yield draw, number, segment["start"]


def _segment(pack: Output, shard: str, row: int, start: int) -> SegmentView:
    documents = view_of(pack, shard, row).documents
    return next(s for d in documents for s in d.segments if s.columns["start"] == start)
