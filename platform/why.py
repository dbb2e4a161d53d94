"""The story of one file, put together from the artifacts of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.compute as pc

from treespan.platform.draws import partition_of
from treespan.platform.errors import UserError
from treespan.platform.ledger import read_decisions
from treespan.platform.run_record import Run, read_run
from treespan.platform.schemas import part_name
from treespan.platform.steps import Output
from treespan.platform.store import Store


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
    for repo, path in _splits(file):
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
    ingest = run.steps["ingest"]
    found = _rows(ingest, "files", repo, path)
    for row in found:
        what = f"read from {row['source']}: {row['size']:,} bytes"
        licence = row["licence"] or "unknown"
        yield Event(step="ingest", what=f"{what}, licence {licence}", record=row)
    for name in ("ingest", "curate"):
        if name in run.steps:
            for decision in _decisions(run.steps[name], repo, path):
                yield Event(step=name, what=_decision(decision, run), record=decision)
    if "curate" in run.steps:
        for row in _rows(run.steps["curate"], "files", repo, path):
            yield Event(step="curate", what=f"kept as {row['language']}", record=row)
    if "decontaminate" in run.steps:
        yield from _decontaminated(run, repo, path)
    if found:
        yield from _afterwards(run, repo, found[0]["file_id"])


def _decontaminated(run: Run, repo: str, path: str) -> Iterator[Event]:
    output = run.steps["decontaminate"]
    decisions = _decisions(output, repo, path)
    for decision in decisions:
        yield Event(step="decontaminate", what=_decision(decision, run), record=decision)
    if not decisions:
        for row in _rows(output, "files", repo, path):
            yield Event(step="decontaminate", what="kept, no benchmark in it", record=row)


def _afterwards(run: Run, repo: str, file_id: str) -> Iterator[Event]:
    if "sample" in run.steps:
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


def _decision(decision: Mapping[str, Any], run: Run) -> str:
    said = f"{decision['action']} by rule {decision['rule']}"
    if decision["value"] is not None:
        said += f": {_number(decision['value'])}"
        if decision["threshold"] is not None:
            said += f" against {_number(decision['threshold'])}"
    if decision["detail"]:
        said += f" ({decision['detail']})"
    if decision["matched_id"]:
        said += f"; kept instead: {_name_of(run, decision['matched_id'])}"
        if decision["similarity"] is not None:
            said += f", similarity {decision['similarity']:.3f}"
    return said


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def _name_of(run: Run, file_id: str) -> str:
    ingest = run.steps["ingest"]
    for part in ingest.files("files"):
        table = ingest.store.read_table(part, ["file_id", "repo", "path"])
        for row in table.filter(pc.equal(table["file_id"], file_id)).to_pylist():
            return f"{row['repo']}/{row['path']}"
    return file_id


def _decisions(output: Output, repo: str, path: str) -> list[dict[str, Any]]:
    return read_decisions(output.store, output.folder, repo, path)


def _rows(output: Output, folder: str, repo: str, path: str) -> list[dict[str, Any]]:
    """The file's row in the partition of its repository, without its content."""
    parts = output.files(folder)
    if not parts:
        return []
    name = f"{output.folder}/{folder}/{part_name(partition_of(repo, len(parts)))}"
    with output.store.open_table(name) as reader:
        names = [field for field in reader.schema.names if field != "content"]
    table = output.store.read_table(name, names)
    matching = pc.and_(pc.equal(table["repo"], repo), pc.equal(table["path"], path))
    rows: list[dict[str, Any]] = table.filter(matching).to_pylist()
    return rows


def _partition(run: Run, step: str, folder: str, repo: str) -> pa.Table:
    output = run.steps[step]
    partition = partition_of(repo, len(output.files(folder)))
    table = output.store.read_table(f"{output.folder}/{folder}/{part_name(partition)}")
    return table.filter(pc.equal(table["repo"], repo)) if "repo" in table.column_names else table
