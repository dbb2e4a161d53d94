"""A row for machines: what the terminal and the page show, as JSON types."""

from __future__ import annotations

from typing import Any

from treespan.jobs.pack.inspect.find_row import FoundRow
from treespan.jobs.pack.inspect.row_view import Run, SegmentView
from treespan.jobs.pack.inspect.wording import View


def as_json(found: FoundRow, view: View = "model", *, tokens: bool = False) -> dict[str, Any]:
    """The row; ``tokens`` gives the text of every token as well."""
    return {
        "shard": found.shard,
        "row": found.row,
        "rows": found.rows,
        "seq_len": found.view.seq_len,
        "padding": found.view.padding,
        "documents": [
            {
                "tokens": document.tokens,
                "segments": [_segment(s, view, tokens) for s in document.segments],
            }
            for document in found.view.documents
        ],
    }


def _segment(segment: SegmentView, view: View, tokens: bool) -> dict[str, Any]:
    runs = segment.runs if view == "model" else segment.in_file_order()
    return {
        **segment.columns,
        "file": segment.name or None,
        "runs": [_run(run, tokens) for run in runs],
    }


def _run(run: Run, tokens: bool) -> dict[str, Any]:
    found = {"role": run.role, "start": run.start, "end": run.end, "target": run.target}
    if run.role == "sentinel":
        return {**found, "label": run.label}
    pieces = {"pieces": list(run.pieces)} if tokens else {}
    return {**found, "text": run.text, **pieces}
