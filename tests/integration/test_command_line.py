"""Bad input on the command line: one sentence and the fix, exit code 2, nothing half-written."""

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
import yaml

from treespan.jobs.pipeline import STEP_NAMES

Run = subprocess.CompletedProcess[str]


@pytest.fixture
def treespan(command: list[str], tmp_path: Path):  # type: ignore[no-untyped-def]
    def run(*arguments: str, cwd: Path | None = None) -> Run:
        environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        return subprocess.run(
            [*command, *arguments],
            env=environment,
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def assert_one_sentence(result: Run, *said: str) -> None:
    assert result.returncode == 2, result.stderr
    *before, last = [line for line in result.stderr.splitlines() if line.strip()]
    assert last.startswith("treespan: ")
    # Summaries of steps that went well may stand before it, and nothing else.
    assert all(line.split()[0] in STEP_NAMES for line in before), result.stderr
    for text in said:
        assert text in last


def write_recipe(folder: Path, **sections: object) -> Path:
    path = folder / "r.yaml"
    values = {"name": "r", "ingest": {"sources": [{"kind": "python-environment"}]}, **sections}
    path.write_text(yaml.safe_dump(values))
    return path


def test_help_teaches(treespan) -> None:  # type: ignore[no-untyped-def]
    result = treespan("--help")
    assert result.returncode == 0
    for name in (
        "run",
        "show",
        "why",
        "dropped",
        "similar",
        "inspect",
        "complete",
        "serve",
        "quickstart",
        "doctor",
    ):
        assert name in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nosuch.yaml"], ["nosuch.yaml does not exist", "recipes/"]),
        (["run", "r.yaml", "--set", "train.stepz=3"], ["'train.stepz'", "'steps'"]),
        (["run", "r.yaml", "--set", "train.steps=0"], ["train.steps", "greater than or equal"]),
        (["run", "r.yaml", "--step", "nosuch"], ["nosuch"]),
        (["run", "r.yaml", "--set", "train.preset=huge"], ["'huge'", "nano"]),
        (["run", "r.yaml", "--store", "nosuch://x"], ["cannot be opened"]),
        (["run", "r.yaml", "--store", "r.yaml/below"], ["cannot be written"]),
        (["show", "empty"], ["no run"]),
        (["why", "a/b.py", "--store", "empty"], ["no run"]),
        (["dropped", "empty"], ["no run"]),
        (["similar", "none.py", "--store", "empty"], ["none.py cannot be read"]),
        (["inspect", "empty"], ["no run that got to the step pack"]),
        (["inspect", "r.arrow"], ["r.arrow does not exist", "part-*.arrow"]),
        (["complete", "--checkpoint", "empty", "--prefix", "x"], ["empty"]),
        (["serve", "--checkpoint", "empty"], ["empty"]),
    ],
)
def test_mistakes(treespan, tmp_path: Path, arguments: list[str], said: list[str]) -> None:  # type: ignore[no-untyped-def]
    write_recipe(tmp_path)
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert_one_sentence(treespan(*arguments), *said)
    assert [path for path in sorted(tmp_path.rglob("*")) if "out" not in path.parts] == before


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"kind": "directory", "path": "missing"}, "missing"),
        ({"kind": "directory", "path": "nothing"}, "nothing"),
        ({"kind": "git", "path": "nothing"}, "git"),
    ],
)
def test_bad_sources(treespan, tmp_path: Path, source: dict[str, str], said: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "nothing").mkdir()
    recipe = write_recipe(tmp_path, ingest={"sources": [source]})
    assert_one_sentence(treespan("run", str(recipe), "--store", "s"), said)
    assert not list((tmp_path / "s").rglob("manifest.json"))


def test_a_port_in_use(treespan, tmp_path: Path, checkpoint_folder: Path) -> None:  # type: ignore[no-untyped-def]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = treespan("serve", "--checkpoint", str(checkpoint_folder), "--port", port)
    assert_one_sentence(result, f"port {port} is in use", "--port")


def test_complete(treespan, checkpoint_folder: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ["complete", "--checkpoint", str(checkpoint_folder), "--prefix", "def f", "--json"]
    result = treespan(*arguments, "--suffix", "\n", "--max-tokens", "5")
    assert result.returncode == 0, result.stderr
    assert isinstance(json.loads(result.stdout)["completion"], str)


def test_a_checkpoint_of_another_shape(treespan, checkpoint_folder: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    import shutil

    other = tmp_path / "other"
    shutil.copytree(checkpoint_folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    result = treespan("complete", "--checkpoint", str(other), "--prefix", "x")
    assert_one_sentence(result, "the weights in", "tensors are missing")


def test_doctor(treespan) -> None:  # type: ignore[no-untyped-def]
    result = treespan("doctor", "--json")
    assert result.returncode == 0
    found = {check["name"]: check for check in json.loads(result.stdout)}
    assert found["torch"]["ok"]
    assert found["grammars"]["ok"]


@pytest.mark.ray
def test_a_full_disk(treespan, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        result = treespan("run", str(write_recipe(tmp_path)), "--store", str(small / "s"))
        assert_one_sentence(result, "the disk is full", "--store")
        assert not list(small.rglob("manifest.json"))
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.ray
def test_nothing_left_after_the_filters(treespan, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("def f(x):\n    return x + 1  # six words are enough\n")
    source = {"kind": "directory", "path": str(tmp_path / "code"), "licence": "GPL-3.0-only"}
    recipe = write_recipe(tmp_path, ingest={"sources": [source], "partitions": 1})
    result = treespan("run", str(recipe), "--store", "s")
    assert_one_sentence(result, "no file is left", "licence took 1 of 1")
    result = treespan(
        "run", str(recipe), "--store", "s", "--set", "curate.add_licences=[GPL-3.0-only]"
    )
    assert_one_sentence(result, "1 repository", "heldout_share")
