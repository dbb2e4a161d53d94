"""The story of one file, put together from the artifacts of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from treespan.platform.draws import partition_of
from treespan.platform.errors import UserError
from treespan.platform.funnel import FILTERS
from treespan.platform.ledger import read_decisions
from treespan.platform.lookup import Place, places_of, rows_of
from treespan.platform.run_record import Run, read_run
from treespan.platform.schemas import part_name
from treespan.platform.steps import Output
from treespan.platform.store import Store
from treespan.platform.wording import in_words, is_of_earlier_corpus


class Event(TypedDict):
    """Something that happened to the file."""

    step: str
    what: str
    record: dict[str, Any]


def story_of(store: Store, file: str, run_name: str | None = None) -> list[Event]:
    """Everything that the newest run knows of ``file`` (``REPO/PATH``), in order.

    Raises ``UserError`` if the run never saw such a file.
    """
    run = read_run(store, run_name)
    if "ingest" not in run.steps:
        raise UserError(f"{store.uri} holds no ingested files.", "Run a recipe first.")
    splits = list(_splits(file))
    # A repository that could not be read has one row, without a path.
    for repo, path in [*splits, *((repo, "") for repo, _ in splits), (file, "")]:
        events = list(_events(run, repo, path))
        if events:
            return events
    raise UserError(
        f"the run {run.name!r} has never seen {file!r}.",
        "Give it as REPO/PATH, the path as it is in the repository.",
    )


def _splits(file: str) -> Iterator[tuple[str, str]]:
    """Repository names may hold slashes, so every slash may be the one between."""
    parts = file.split("/")
    for cut in range(1, len(parts)):
        yield "/".join(parts[:cut]), "/".join(parts[cut:])


def _events(run: Run, repo: str, path: str) -> Iterator[Event]:
    found = rows_of(run.steps["ingest"], "files", repo, path)
    for row in found:
        what = f"read from {row['source']}: {row['size']:,} bytes"
        licence = row["licence"] or "unknown"
        yield Event(step="ingest", what=f"{what}, licence {licence}", record=row)
    for name in FILTERS:
        if name in run.steps:
            yield from _filtered(run, name, repo, path)
    if found:
        yield from _tied(run, repo, path, found[0]["file_id"])
        yield from _afterwards(run, repo, path, found[0]["file_id"])


def _filtered(run: Run, step: str, repo: str, path: str) -> Iterator[Event]:
    """Every decision of ``step`` on the file, and whether it was kept."""
    output = run.steps[step]
    decisions = _decisions(output, repo, path)
    for decision in decisions:
        yield Event(step=step, what=_told(run, decision), record=decision)
    for row in [] if step == "ingest" else rows_of(output, "files", repo, path):
        if step == "curate":
            yield Event(step=step, what=f"kept as {row['language']}", record=row)
        elif not decisions:
            yield Event(step=step, what="kept, no benchmark in it", record=row)


def _tied(run: Run, repo: str, path: str, file_id: str) -> Iterator[Event]:
    """How many files it uses, and how many use it."""
    if "graph" not in run.steps:
        return
    (files_from,) = run.steps["graph"].manifest["inputs"]
    if not rows_of(run.steps[files_from], "files", repo, path):
        return
    table = _partition(run, "graph", "edges", repo)
    uses = pc.count_distinct(table.filter(pc.equal(table["source_id"], file_id))["target_id"])
    used = pc.count_distinct(table.filter(pc.equal(table["target_id"], file_id))["source_id"])
    record = {"uses": uses.as_py(), "used_by": used.as_py()}
    what = f"uses {record['uses']} files of its repository, used by {record['used_by']}"
    yield Event(step="graph", what=what, record=record)


def _afterwards(run: Run, repo: str, path: str, file_id: str) -> Iterator[Event]:
    if "sample" in run.steps:
        for decision in _decisions(run.steps["sample"], repo, path):
            yield Event(step="sample", what=_told(run, decision), record=decision)
        for folder in ("documents", "heldout"):
            for document in _partition(run, "sample", folder, repo).to_pylist():
                if file_id in document["file_ids"]:
                    place = document["file_ids"].index(file_id)
                    strategy = document["strategies"][place]
                    said = f"file {place + 1} of {len(document['file_ids'])} in a document"
                    what = "held out for evaluation" if folder == "heldout" else said
                    how = "" if folder == "heldout" else f", placed by {strategy}"
                    record = {"document_id": document["document_id"], "strategy": strategy}
                    yield Event(step="sample", what=what + how, record=record)
    if "pack" in run.steps:
        table = _partition(run, "pack", "shards/epoch-00", repo)
        for number, segments in enumerate(table["segments"].to_pylist()):
            for segment in segments:
                if segment["file_id"] == file_id:
                    node = f" of a {segment['node_type']}" if segment["node_type"] else ""
                    what = (
                        f"{segment['objective']}{node}, {segment['length']} tokens in row {number}"
                    )
                    yield Event(step="pack", what=what, record={"row": number, **segment})


def _told(run: Run, decision: Mapping[str, Any]) -> str:
    matched = ""
    if decision["matched_id"] and not is_of_earlier_corpus(decision):
        place = places_of(run.steps["ingest"], {decision["matched_id"]}).get(decision["matched_id"])
        matched = decision["matched_id"] if place is None else place.name + _fate(run, place)
    said = in_words(decision, matched)
    language = decision["language"]
    return f"{said}; language {language}" if language and decision["rule"] != "language" else said


def _fate(run: Run, place: Place) -> str:
    """What became of the file that a duplicate lost to: it may itself have gone later."""
    for name in FILTERS:
        if name in run.steps:
            for decision in _decisions(run.steps[name], place.repo, place.path):
                if decision["action"] == "drop":
                    return f" (itself dropped by {decision['rule']})"
    return ""


def _decisions(output: Output, repo: str, path: str) -> list[dict[str, Any]]:
    return read_decisions(output.store, output.folder, repo, path)


def _partition(run: Run, step: str, folder: str, repo: str) -> pa.Table:
    output = run.steps[step]
    partition = partition_of(repo, len(output.files(folder)))
    table = output.store.read_table(f"{output.folder}/{folder}/{part_name(partition)}")
    return table.filter(pc.equal(table["repo"], repo)) if "repo" in table.column_names else table
