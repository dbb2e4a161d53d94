"""The step in its chain: without Ray what it changes there, with Ray what it does to files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from treespan.jobs.decontaminate.config import DecontaminateConfig
from treespan.jobs.decontaminate.step import common_limit
from treespan.jobs.pipeline import load_recipe, run_recipe, steps_of
from treespan.platform.errors import UserError
from treespan.platform.ledger import read_decisions
from treespan.platform.progress import Progress
from treespan.platform.run_record import read_run
from treespan.platform.store import Store
from treespan.platform.summary import summary_line
from treespan.platform.tables import run_tables
from treespan.platform.why import story_of

Recipe = Callable[..., Path]


@pytest.fixture
def recipe(tmp_path: Path, benchmark: Path) -> Recipe:
    """A recipe over ``tmp_path/corpus`` that looks for the benchmark; settings on top."""

    def write(**settings: Any) -> Path:
        source = {"kind": "directory", "path": str(tmp_path / "corpus"), "each_subfolder": True}
        values = {
            "name": "clean",
            "ingest": {"sources": [{**source, "licence": "MIT"}], "partitions": 3},
            "decontaminate": {"benchmarks": [{"path": str(benchmark)}], **settings},
        }
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


def test_without_benchmarks_there_is_no_such_step(root: Path) -> None:
    steps = {step.name: step for step in steps_of(load_recipe(root / "recipes/quickstart.yaml"))}
    assert "decontaminate" not in steps
    assert steps["sample"].inputs == ("curate", "graph")
    assert steps["pack"].inputs == ("curate", "sample", "tokenize")


def test_with_benchmarks_all_that_follows_reads_its_files(recipe: Recipe) -> None:
    steps = {step.name: step for step in steps_of(load_recipe(recipe()))}
    assert steps["decontaminate"].inputs == ("curate",)
    for name in ("graph", "sample", "tokenize", "pack", "evaluate"):
        if name in steps:
            assert steps[name].inputs[0] == "decontaminate"
            assert "curate" not in steps[name].inputs
    assert "decontaminate" in steps["report"].inputs


def test_common_means_many_and_a_share() -> None:
    config = DecontaminateConfig()
    assert common_limit(config, 100) == 20
    assert common_limit(config, 100_000) == 1000


def test_impossible_settings_are_refused(recipe: Recipe) -> None:
    with pytest.raises(UserError, match="min_words must be at most ngram"):
        load_recipe(recipe(ngram=6))
    with pytest.raises(UserError, match="policy"):
        load_recipe(recipe(polycy="drop"))


@pytest.mark.ray
def test_planted_files_go_and_are_told(
    tmp_path: Path, recipe: Recipe, benchmark: Path, ray_cluster: None
) -> None:
    import json

    record = json.loads(benchmark.read_text().splitlines()[0])
    leak = record["prompt"] + record["canonical_solution"]
    words = leak.split()
    near = "".join(f"{w} edit_{n}\n# " if n % 6 == 5 else f"{w} " for n, w in enumerate(words))
    clean = "".join(f"clean_{i} = other_{i}({i}, name_{i})\n" for i in range(40))
    header = "# This common header stands above every single file of the repositories here\n"
    files = {
        "garden/leaked.py": clean + leak,
        "garden/near.py": f"# {near}\nvalue_one = 1\nvalue_two = 2\n",
        "garden/clean.py": header + clean.replace("clean", "fine"),
        "other/clean.py": header + clean.replace("clean", "good"),
        "third/clean.py": header + clean.replace("clean", "well"),
    }
    for name, text in files.items():
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(text)
    ours = tmp_path / "ours.jsonl"
    ours.write_text(json.dumps({"id": "x", "text": header + "and nothing else"}) + "\n")
    sources = [{"path": str(benchmark)}, {"path": str(ours), "fields": ["text"]}]
    settings = {"benchmarks": sources, "near_containment": 0.3, "common_repositories": 2}
    store = Store(str(tmp_path / "store"))
    quiet = Progress(quiet=True)
    outcome = run_recipe(load_recipe(recipe(**settings)), store, quiet, until="sample")
    output = outcome.outputs["decontaminate"]
    (row,) = read_decisions(store, output.folder, "garden", "leaked.py")
    assert (row["rule"], row["action"], row["detail"]) == ("benchmark-ngram", "drop", "HumanEval/0")
    assert row["value"] > row["threshold"] == 10
    assert row["matched_id"] == ""
    (row,) = read_decisions(store, output.folder, "garden", "near.py")
    assert (row["rule"], row["detail"], row["threshold"]) == ("benchmark-near", "HumanEval/0", 0.3)
    counts = output.counts
    assert (counts["input_files"], counts["output_files"], counts["hit_files"]) == (5, 3, 2)
    assert counts["benchmarks"] == {
        "HumanEval": {"items": 12, "benchmark-ngram": 1, "benchmark-near": 1},
        "ours": {"items": 1, "benchmark-ngram": 0, "benchmark-near": 0},
    }
    assert counts["files_with_common_runs_only"] == 3
    assert counts["funnel"] == {
        "benchmark-ngram": {"Python": 1},
        "benchmark-near": {"Python": 1},
        "kept": {"Python": 3},
    }
    assert outcome.outputs["sample"].counts["files"] + outcome.outputs["sample"].counts[
        "heldout_files"
    ] == 3  # fmt: skip
    told = [event["what"] for event in story_of(store, "garden/leaked.py")]
    assert "drop by rule benchmark-ngram" in told[-1]
    assert "HumanEval/0" in told[-1]
    assert "no benchmark" in [event["what"] for event in story_of(store, "other/clean.py")][2]
    assert "2 of 5 files hold one of 13" in summary_line(output, found=False)
    funnel = next(t for t in run_tables(read_run(store)) if t.title == "files by step and rule")
    assert "benchmark-ngram" in list(funnel.columns[1].cells)
    written = b"".join(
        p.read_bytes() for p in Path(store.uri, output.folder).rglob("*") if p.is_file()
    )
    assert b"thirsty" not in written
    again = run_recipe(
        load_recipe(recipe(**settings)), Store(str(tmp_path / "two")), quiet, until="decontaminate"
    )
    assert again.outputs["decontaminate"].digest == output.digest
    reported = run_recipe(
        load_recipe(recipe(**settings, policy="report")), store, quiet, until="decontaminate"
    ).outputs["decontaminate"]
    assert (reported.counts["output_files"], reported.counts["hit_files"]) == (5, 2)
    (row,) = read_decisions(store, reported.folder, "garden", "leaked.py")
    assert row["action"] == "keep"
