"""What the terminal and the page say alike of a row and of its segments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from treespan.jobs.pack.inspect.find_row import FoundRow
from treespan.jobs.pack.inspect.row_view import DocumentView, RowView, SegmentView
from treespan.platform.visible_text import visible

View = Literal["model", "file"]
"""The order of the tokens, or that of the file."""

EMPTY_HOLE = "empty"


def head_of(found: FoundRow) -> str:
    """Which row this is."""
    view = found.view
    documents, segments = len(view.documents), sum(len(d.segments) for d in view.documents)
    return (
        f"{found.shard}\nrow {found.row} of {found.rows:,}: {view.seq_len:,} tokens, "
        f"{_plural(documents, 'document')}, {_plural(segments, 'segment')}"
    )


def document_of(place: int, document: DocumentView) -> str:
    """Which document begins."""
    repo = f" of {visible(document.repo)}" if document.repo else ""
    return f"document {place}{repo}, {_plural(document.tokens, 'token')}"


def facts_of(segment: SegmentView) -> Iterator[str]:
    """What the shard records of a segment, besides its name and objective."""
    columns = segment.columns
    yield _plural(columns["length"], "token")
    if columns["middle_start"] >= 0:
        size = f", {_plural(columns['middle_bytes'], 'byte')}" if "middle_bytes" in columns else ""
        yield f"{columns['middle_length']:,} of them the middle{size}"
    yield columns["language"] or "no language"
    if columns["strategy"]:
        yield f"placed by {columns['strategy']}"
    if columns["fallback"]:
        yield f"fallback: {columns['fallback']}"


def padding_of(view: RowView) -> str:
    """How much of a row holds nothing."""
    return f"{_plural(view.padding, 'token')} of padding ({view.padding / view.seq_len:.2%})"


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
