"""A recipe that ends with a corpus: its report, and the stories and samples of what it dropped."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from treespan.jobs.pipeline import Outcome, load_recipe, run_recipe, steps_of
from treespan.platform.dropped import Asked, as_json, lines, sample_dropped
from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.quickstart import run as run_quickstart
from treespan.platform.run_record import read_run
from treespan.platform.store import Store
from treespan.platform.why import story_of


def code(number: int, lines: int = 40) -> str:
    """Python that parses; other numbers share no five words with it."""
    return "".join(f"value_{number}_{i} = call_{number}_{i}({i})\n" for i in range(lines))


COPIED = {f"m{i}.py": code(100 + i) for i in range(6)}
FILES = {
    "good/main.py": code(1),
    "good/broken.py": code(2) + "def broken(:\n",
    "good/wide.py": code(3) + f"x = '{'a' * 2000}'\n",
    "good/latin.bin": "\0",
    "near/main.py": code(1).replace("(17)", "(7)"),
    "near/copy.py": code(1),
    "near/short.py": code(6),
    "near/longer.py": code(6) + "def broken(:\n",
    "near/leaked.py": code(4) + "# one two three four five six seven eight nine ten eleven\n",
    **{f"lib/{name}": text for name, text in COPIED.items()},
    **{f"lib-fork/{name}": text for name, text in COPIED.items()},
    "closed/main.py": "# SPDX-License-Identifier: GPL-3.0-only\n" + code(5),
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("account")
    for name, text in FILES.items():
        path = base / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for repo in ("good", "near", "lib", "lib-fork"):
        (base / "corpus" / repo / "package.json").write_text('{"license": "MIT"}')
    asked = base / "asked.jsonl"
    text = "one two three four five six seven eight nine ten eleven"
    asked.write_text(json.dumps({"id": "count", "text": text}) + "\n")
    values: dict[str, Any] = {
        "name": "corpus",
        "last_step": "decontaminate",
        "ingest": {
            "sources": [
                {"kind": "directory", "path": str(base / "corpus"), "each_subfolder": True}
            ],
            "partitions": 3,
        },
        "curate": {"unknown_licence": "keep", "kinds": ["programming"]},
        "decontaminate": {"benchmarks": [{"path": str(asked), "fields": ["text"]}]},
        "report": {"title": "A corpus"},
    }
    path = base / "corpus.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def outcome(ray_cluster: None, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    store = Store(str(tmp_path_factory.mktemp("store")))
    return run_recipe(load_recipe(recipe), store, Progress(quiet=True))


def names(recipe: Path, *overrides: str) -> list[str]:
    return [step.name for step in steps_of(load_recipe(recipe, overrides))]


def test_a_recipe_ends_where_it_says(recipe: Path) -> None:
    assert names(recipe) == ["ingest", "curate", "decontaminate", "report"]
    assert names(recipe, "last_step=curate") == ["ingest", "curate", "report"]
    assert names(recipe, "decontaminate.benchmarks=[]") == ["ingest", "curate", "report"]
    assert names(recipe, "last_step=evaluate")[-2:] == ["evaluate", "report"]
    assert names(recipe, "last_step=evaluate", "sample.heldout_share=0")[-2:] == ["train", "report"]
    (report,) = (step for step in steps_of(load_recipe(recipe)) if step.name == "report")
    assert report.inputs == ("ingest", "curate", "decontaminate")
    with pytest.raises(UserError, match="last_step"):
        load_recipe(recipe, ["last_step=report"])


def test_the_end_changes_no_step_before_it(recipe: Path) -> None:
    whole = steps_of(load_recipe(recipe, ["last_step=evaluate"]))
    for step, same in zip(steps_of(load_recipe(recipe))[:-1], whole, strict=False):
        assert (step.name, step.params, step.inputs) == (same.name, same.params, same.inputs)


def test_a_recipe_can_go_on_from_one_that_ends(recipe: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.yaml"
    longer.write_text(f"extends: {recipe}\nlast_step: sample\n")
    assert names(longer)[-2:] == ["sample", "report"]


def test_the_quickstart_needs_a_model(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ends with decontaminate"):
        run_quickstart(recipe, Store(str(tmp_path)))


@pytest.mark.ray
def test_it_ends_with_a_report(outcome: Outcome, recipe: Path) -> None:
    assert outcome.ran == ["ingest", "curate", "decontaminate", "report"]
    report = outcome.outputs["report"]
    store = report.store
    assert read_run(store).pending == ()
    html = store.read_bytes(f"{report.folder}/report.html").decode()
    assert html.count("<svg") == 3
    assert "Of 26 files" in html
    assert "Training" not in html
    assert "near-duplicate, 2 files" in html
    assert "+value_1_17 = call_1_17(7)" in html
    assert "src=" not in html
    again = run_recipe(load_recipe(recipe), store, Progress(quiet=True))
    assert again.ran == []


@pytest.mark.ray
def test_a_report_on_curation_alone_or_ingest_alone(outcome: Outcome, recipe: Path) -> None:
    store = outcome.outputs["ingest"].store
    for last, said in (("curate", "By language"), ("ingest", "Of 26 files 25 were kept")):
        typed = load_recipe(recipe, [f"last_step={last}", f"name={last}-only"])
        found = run_recipe(typed, store, Progress(quiet=True))
        assert found.ran == ["report"]
        html = store.read_bytes(f"{found.outputs['report'].folder}/report.html").decode()
        assert said in html


@pytest.mark.ray
@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("good/main.py", ["read from directory", "kept as Python", "no benchmark in it"]),
        ("good/package.json", ["read from", "not among the languages to keep (JSON)"]),
        ("good/latin.bin", ["binary: (file name)"]),
        ("closed/main.py", ["licence GPL-3.0-only", "(GPL-3.0-only); language Python"]),
        ("good/wide.py", ["", "characters in the longest line, 2,006 against 1,000"]),
        ("good/broken.py", ["", "syntax: share of bytes in syntax errors"]),
        ("lib-fork/m1.py", ["", "its repository's contents that another one has, 1 against 0.8 (lib)"]),
        ("near/copy.py", ["", "the same bytes; kept instead: good/main.py"]),
        ("near/main.py", ["", "against 0.85; kept instead: good/main.py"]),
        ("near/short.py", ["", "kept instead: near/longer.py (itself dropped by syntax)"]),
        ("near/leaked.py", ["", "kept as Python", "words in a row of a benchmark, 11 against 10"]),
    ],
)  # fmt: skip
def test_each_story(outcome: Outcome, file: str, said: list[str]) -> None:
    story = story_of(outcome.outputs["ingest"].store, file, "corpus")
    assert len(story) == len(said), story
    for event, text in zip(story, said, strict=True):
        assert text in event["what"]


@pytest.mark.ray
def test_files_of_every_rule_are_drawn(outcome: Outcome) -> None:
    steps = outcome.outputs
    found = {(group.step, group.rule): group for group in sample_dropped(steps, Asked(top=2))}
    assert {key: group.total for key, group in found.items()} == {
        ("ingest", "binary"): 1,
        ("curate", "language"): 4,
        ("curate", "licence"): 1,
        ("curate", "repository-duplicate"): 6,
        ("curate", "line-length"): 1,
        ("curate", "exact-duplicate"): 1,
        ("curate", "near-duplicate"): 2,
        ("curate", "syntax"): 2,
        ("decontaminate", "benchmark-ngram"): 1,
    }
    assert len(found["curate", "repository-duplicate"].files) == 2
    (binary,) = found["ingest", "binary"].files
    assert (binary.name, binary.excerpt) == ("good/latin.bin", None)
    near, _ = sorted(found["curate", "near-duplicate"].files, key=lambda file: file.name)
    assert near.matched == "good/main.py"
    assert near.difference is not None
    assert "-value_1_17 = call_1_17(17)" in near.difference.splitlines()
    (copy,) = found["curate", "exact-duplicate"].files
    assert (copy.matched, copy.difference) == ("good/main.py", None)
    told = "\n".join(lines(found.values()))
    assert "near/main.py" in told
    assert json.dumps([as_json(group) for group in found.values()])


@pytest.mark.ray
def test_a_draw_is_stable_and_can_be_narrowed(outcome: Outcome) -> None:
    steps = outcome.outputs

    def drawn(**asked: Any) -> list[str]:
        (group,) = sample_dropped(steps, Asked(rule="repository-duplicate", **asked))
        return [file.name for file in group.files]

    assert drawn(top=3) == drawn(top=3)
    assert drawn(top=3)[:2] == drawn(top=2)
    assert {tuple(drawn(top=3, seed=seed)) for seed in range(8)} != {tuple(drawn(top=3))}
    assert sorted(drawn(top=9)) == [f"lib-fork/m{i}.py" for i in range(6)]
    (group,) = sample_dropped(steps, Asked(language="JSON"))
    assert (group.rule, group.total) == ("language", 4)
    assert [group.step for group in sample_dropped(steps, Asked(step="ingest"))] == ["ingest"]
    for asked, said in (
        (Asked(rule="near-dup"), "'near-duplicate'"),
        (Asked(step="train"), "These do: ingest, curate, decontaminate"),
        (Asked(rule="binary", language="Go"), "leave out"),
    ):
        with pytest.raises(UserError) as error:
            sample_dropped(steps, asked)
        assert said in str(error.value)


@pytest.mark.ray
def test_the_command_shows_them(outcome: Outcome) -> None:
    uri = outcome.outputs["ingest"].store.uri
    command = [sys.executable, "-m", "treespan.platform.cli", "dropped", uri]
    asked = [*command, "--run", "corpus", "--rule", "syntax"]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert "good/broken.py" in shown
    found = json.loads(
        subprocess.run([*asked, "--json"], capture_output=True, text=True, check=True).stdout
    )
    assert {file["path"] for file in found[0]["files"]} == {"broken.py", "longer.py"}
