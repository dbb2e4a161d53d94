"""The benchmark of throughput: its corpus, its clock, and one run of it. No timing is judged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.throughput.__main__ import plans
from benchmarks.throughput.one_size import measure
from benchmarks.throughput.process_tree import Process, Sampler, workers_in
from benchmarks.throughput.show import save, show
from benchmarks.throughput.variant_corpus import BaseFile, Renaming, write_copy
from rich.console import Console

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.shingles import shingles
from treespan.model.grammars import load_parser


@pytest.fixture
def base(root: Path) -> list[BaseFile]:
    """Some of our own modules, as files of two repositories."""
    paths = sorted((root / "jobs" / "curate").glob("*.py"))[:12]
    return [
        BaseFile(f"repo-{number % 2}", f"src/{path.name}", "Python", "MIT", path.read_text())
        for number, path in enumerate(paths)
    ]


def test_variants_are_no_near_duplicates_and_still_parse(base: list[BaseFile]) -> None:
    parser = load_parser("Python")
    renamings = [Renaming(copy) for copy in range(3)]
    for file in base:
        texts = [renaming.apply(file.text).encode() for renaming in renamings]
        assert texts[0] == file.text.encode()
        sets = [shingles(text) for text in texts]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            common = len(set(sets[one].tolist()) & set(sets[other].tolist()))
            assert common / (len(sets[one]) + len(sets[other]) - common) < 0.7
        assert not any(parser.parse(text).root_node.has_error for text in texts)


def test_a_copy_is_the_same_whenever_it_is_made(base: list[BaseFile], tmp_path: Path) -> None:
    written = [write_copy(base, 2, tmp_path / name) for name in ("one", "two")]
    files = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert files[0] == files[1]
    assert written == [sum(map(len, files[0].values()))] * 2
    assert (tmp_path / "one" / "repo-0-v2" / "LICENSE").read_text().endswith(": MIT\n")


def test_the_sampler_sees_what_a_child_costs() -> None:
    work = "x = bytearray(60_000_000); print(sum(range(3_000_000)), flush=True); input()"
    with (
        Sampler() as sampler,
        subprocess.Popen(
            [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as child,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        sampler._sample()
        child.communicate(b"\n")
    assert sampler.total_cpu_s > 0
    assert sampler.worker_cpu_s == 0


def test_workers_are_those_of_ray_and_what_they_started() -> None:
    commands = {1: (0, "python"), 2: (1, "raylet"), 3: (2, "ray::map"), 4: (3, "python -m parse")}
    tree = {pid: Process(parent, name, 1.0, 1.0, 1.0) for pid, (parent, name) in commands.items()}
    assert workers_in(tree) == {3, 4}


@pytest.mark.ray
def test_one_run_of_it(base: list[BaseFile], tmp_path: Path, ray_cluster: None) -> None:
    settings = {"curate": CurateConfig().to_dict(), "benchmarks": None}
    results = [measure(plan) for plan in plans(base, [1, 2], tmp_path, settings)]
    files = len(base) + 2  # and two licences
    assert [result["files"] for result in results] == [files, 2 * files]
    assert [result["funnel"]["kept"] for result in results] == [len(base), 2 * len(base)]
    for result in results:
        assert set(result["steps_s"]) == {"ingest", "curate"}
        assert result["total_cpu_s"] > result["worker_cpu_s"] > 0
        assert result["worker_peak_mb"] >= result["worker_own_mb"] > 10
    console = Console(record=True, width=120)
    show(results, console)
    save(results, tmp_path / "out")
    assert "2 to 1: MB x 2." in console.export_text()
    assert json.loads((tmp_path / "out" / "throughput.json").read_text()) == results
    assert (tmp_path / "out" / "throughput.svg").read_text().startswith("<?xml")
