"""The step as a whole, on Ray, and what the report says of it."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from treespan.jobs.report.sampling import sampling_sections
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.step import make_step
from treespan.platform.draws import hash64, partition_of
from treespan.platform.ledger import read_decisions
from treespan.platform.progress import Progress
from treespan.platform.schemas import EDGES, FILES, part_name
from treespan.platform.steps import Output, execute
from treespan.platform.store import Store

PARTITIONS = 3


def write_inputs(store: Store) -> dict[str, Output]:
    """Twelve repositories of five files, each of which uses the next."""
    files: list[list[dict[str, Any]]] = [[] for _ in range(PARTITIONS)]
    edges: list[list[dict[str, Any]]] = [[] for _ in range(PARTITIONS)]
    for repo in (f"repo-{number}" for number in range(12)):
        paths = [f"src/{name}.py" for name in "abcd"] + ["data/e.json"]
        ids = [f"{hash64(repo, path):032x}" for path in paths]
        part = partition_of(repo, PARTITIONS)
        for path, file_id in zip(paths, ids, strict=True):
            text = f"def {path[-4]}_of_{repo[:4]}(): return shared_name\n"
            language = "JSON" if path.endswith("json") else "Python"
            values = {"file_id": file_id, "repo": repo, "path": path, "language": language}
            files[part].append({**values, "content": text, "size": len(text)})
        for source, target in pairwise(ids[:4]):
            ends = {"repo": repo, "source_id": source, "target_id": target}
            edges[part].append({**ends, "kind": "use", "name": "f", "weight": 1.0, "count": 1})
    outputs = {}
    for step, folder, schema, tables in (
        ("curate", "files", FILES, files),
        ("graph", "edges", EDGES, edges),
    ):
        entries = []
        for number, rows in enumerate(tables):
            name = f"{folder}/{part_name(number)}"
            batches = pa.Table.from_pylist(rows, schema=schema).to_batches()
            store.write_table(f"{step}/{name}", schema, batches)
            entries.append({"path": name})
        outputs[step] = Output(store, step, {"digest": step, "files": entries, "counts": {}})
    return outputs


@pytest.mark.ray
def test_the_step(ray_cluster: None, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    inputs = write_inputs(store)
    config = SampleConfig(heldout_share=0.2, languages={"Python": 2.0, "JSON": 0.0})
    output = execute(make_step(config), store, inputs, Progress(quiet=True))
    counts = output.counts
    kept = counts["repositories"] - counts["heldout_repositories"]
    assert counts["repositories"] == 12
    assert 0 < kept < 12
    assert counts["files"] == 2 * 4 * kept == sum(counts["files_by_strategy"].values())
    assert counts["heldout_files"] == 5 * counts["heldout_repositories"]
    assert counts["left_out"] == {"language-rate": {"JSON": kept}}
    assert counts["bytes_by_language"] == {"Python": counts["bytes"]}
    assert counts["bytes_by_language_given"]["Python"] * 2 == counts["bytes"]
    dependencies = counts["statistics"]["dependencies"]
    assert dependencies["edges"] == dependencies["within"] == 2 * 3 * kept
    documents = [
        row for part in output.files("documents") for row in store.read_table(part).to_pylist()
    ]
    assert sum(len(document["file_ids"]) for document in documents) == counts["files"]
    assert {copy for document in documents for copy in document["copies"]} == {0, 1}
    trained = documents[0]["repo"]
    (decision,) = read_decisions(store, output.folder, trained, "data/e.json")
    assert (decision["rule"], decision["action"], decision["value"]) == ("language-rate", "drop", 0)

    (section,) = sampling_sections(counts)
    assert "<svg" in section
    assert "MB read" in section


def test_the_order_of_a_recipe_does_not_matter() -> None:
    weights = {"random": 0.1, "path": 0.9, "content": 0.0}
    orders = (list(weights.items()), list(weights.items())[::-1])
    steps = [make_step(SampleConfig(strategies=dict(order))) for order in orders]
    store = Store("memory-is-not-touched")
    outputs = {name: Output(store, name, {"digest": name}) for name in ("curate", "graph")}
    assert steps[0].key(store, outputs) == steps[1].key(store, outputs)
