"""Sources that mean harm, from ingest through curation: nothing hangs, the ledger tells each."""

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from treespan.jobs.pipeline import load_recipe, run_recipe
from treespan.platform.progress import Progress
from treespan.platform.steps import Output
from treespan.platform.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def outputs(
    ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Output]]:
    base = tmp_path_factory.mktemp("hostile")
    spec = importlib.util.spec_from_file_location("hostile", Path(__file__).with_name("hostile.py"))
    assert spec is not None
    assert spec.loader is not None
    hostile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hostile)
    values = {
        "name": "hostile",
        "ingest": {"partitions": 3, "sources": hostile.make_hostile(base)},
        "curate": {"syntax": {"timeout_s": 2}, "unknown_licence": "keep"},
    }
    (base / "hostile.yaml").write_text(yaml.safe_dump(values))
    store = Store(str(base / "store"))
    recipe = load_recipe(base / "hostile.yaml")
    yield run_recipe(recipe, store, Progress(quiet=True), until="curate").outputs
    # Python's own removal recurses, and does not come to the end of the deep folders.
    subprocess.run(["rm", "-rf", base], check=True)


def rows_of(output: Output, folder: str) -> list[dict[str, Any]]:
    return [
        row for part in output.files(folder) for row in output.store.read_table(part).to_pylist()
    ]


@pytest.fixture(scope="module")
def told(outputs: dict[str, Output]) -> dict[tuple[str, str], str]:
    """(repository, path) -> the rule that dropped it, but for the identical files."""
    rows = [*rows_of(outputs["ingest"], "ledger"), *rows_of(outputs["curate"], "ledger")]
    return {(row["repo"], row["path"]): row["rule"] for row in rows if row["repo"] != "identical"}


@pytest.fixture(scope="module")
def kept(outputs: dict[str, Output]) -> set[tuple[str, str]]:
    return {(row["repo"], row["path"]) for row in rows_of(outputs["curate"], "files")}


def test_the_good_files_come_through(kept: set[tuple[str, str]]) -> None:
    for repo in ("texts", "names", "special_files", "deep", "sparse", "git", "outside", "odd"):
        assert (repo, "good.py") in kept
    assert ("odd\\ud800", "good.py") in kept
    assert ("texts", "bom.py") in kept
    assert {("names", "two\nlines.py"), ("names", "tab\t.py"), ("names", "ä.py")} <= kept
    assert {("git", "two\nlines.py"), ("odd", "two\nlines.py")} <= kept


@pytest.mark.parametrize(
    ("repo", "path", "rule"),
    [
        ("texts", "nul.py", "binary"),
        ("texts", "huge.py", "oversize"),
        ("texts", "long_line.py", "line-length"),
        ("texts", "words.py", "line-length"),
        ("texts", "newlines.py", "words"),
        ("texts", "empty.py", "words"),
        ("texts", "parens.py", "words"),
        ("texts", "tag_parens.py", "words"),
        ("texts", "tag_blanks.py", "line-length"),
        ("texts", "tag_choice.py", "line-length"),
        ("names", "caf\\xe9.py", "path-encoding"),
        ("special_files", "fifo.py", "device-file"),
        ("special_files", "loop", "symlink"),
        ("special_files", "self.py", "symlink"),
        ("special_files", "passwd.py", "symlink"),
        ("sparse", "two_gigabytes.py", "oversize"),
        ("git", "caf\\xe9.py", "path-encoding"),
        ("git", "link.py", "symlink"),
        ("git", "missing.py", "unreadable"),
        ("git", "module", "submodule"),
        ("bomb", "", "archive-bomb"),
        ("zipbomb", "", "archive-bomb"),
        ("cut", "", "repository-error"),
        ("outside", "../outside.py", "archive-path"),
        ("outside", "/etc/absolute.py", "archive-path"),
        ("odd", "caf\\xe9.py", "path-encoding"),
        ("odd", "long/" * 2000 + "x.py", "path-length"),
        ("odd", "nul.py", "binary"),
        ("odd", "fifo", "device-file"),
        ("odd", "disk", "device-file"),
        ("odd", "demo.dist-info/METADATA", "oversize"),
        ("odd\\ud800", "../up.py", "archive-path"),
        ("odd\\ud800", "number.py", "unreadable"),
    ],
)
def test_each_has_its_row(
    told: dict[tuple[str, str], str], repo: str, path: str, rule: str
) -> None:
    assert told.get((repo, path)) == rule


def test_every_file_is_kept_or_told(
    told: dict[tuple[str, str], str], kept: set[tuple[str, str]]
) -> None:
    for name in ("parens.js", "balanced.c", "mixed.py", "utf16.py", "cut.py", "generated.py"):
        assert ("texts", name) in told
    assert not told.keys() & kept


def test_folders_beyond_the_longest_path_are_told_once(told: dict[tuple[str, str], str]) -> None:
    deep = [(path, rule) for (repo, path), rule in told.items() if repo == "deep"]
    assert len(deep) == 1
    assert deep[0][1] in ("unreadable", "path-length")
    assert len(deep[0][0]) > 3900


def test_of_identical_files_one_stays(outputs: dict[str, Output]) -> None:
    funnel = outputs["curate"].counts["funnel"]
    assert funnel["exact-duplicate"]["Python"] == 49_999
