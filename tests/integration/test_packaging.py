"""The wheel holds every module and works without the checkout; a clone works without an install."""

import os
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from treespan.platform.run_record import read_run
from treespan.platform.store import Store

LAYERS = ("platform", "jobs", "model", "serve")


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target)]
    done = subprocess.run([*build, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


def test_the_wheel_lists_every_module(root: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"treespan/{path.relative_to(root)}"
        for layer in LAYERS
        for path in (root / layer).rglob("*.py")
    }
    assert len(wanted) > 80
    assert wanted <= names
    assert {"treespan/__init__.py", "treespan/py.typed"} <= names
    assert not [name for name in names if not name.startswith("treespan")]


def test_the_wheel_works_alone(wheel: Path, bare_python: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    everything = "import treespan.jobs.pipeline, treespan.serve.app; print(treespan.__file__)"
    done = subprocess.run(
        [bare_python, "-c", everything],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(str(tmp_path / "installed"))


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def cluster(bare_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard address of a cluster whose Python has no treespan; as `ray start --head`."""
    folder = tmp_path_factory.mktemp("r")
    names = (
        "port",
        "dashboard-port",
        "ray-client-server-port",
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "metrics-export-port",
        "runtime-env-agent-port",
    )
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    options = [f"--{name}={port}" for name, port in ports.items()]
    start = [bare_python, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    process = subprocess.Popen(
        [*start, *options, f"--temp-dir={folder}", "--num-cpus=2", "--node-ip-address=127.0.0.1"],
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "PATH": path_with(bare_python)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", ports["dashboard-port"])) == 0:
                break
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield f"http://127.0.0.1:{ports['dashboard-port']}"
    # Its own group only: `ray stop` would end every Ray of this machine.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.ray
@pytest.mark.slow
def test_a_submitted_job_needs_no_install(
    root: Path, cluster: str, bare_python: Path, recipe: Path, tmp_path: Path
) -> None:
    """The README's command, from a clone, on a cluster that has the dependencies only."""
    done = subprocess.run(
        [
            *(bare_python, "-m", "ray.scripts.scripts", "job", "submit", "--address", cluster),
            *(
                "--working-dir",
                str(root),
                "--runtime-env-json",
                '{"env_vars":{"PYTHONPATH":"src"}}',
            ),
            *("--", "python", "-m", "treespan.jobs.curate", "--recipe", str(recipe)),
            *("--store", str(tmp_path)),
        ],
        env={**os.environ, "RAY_AUTH_MODE": "disabled", "PATH": path_with(bare_python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert list(read_run(Store(str(tmp_path))).steps) == ["ingest", "curate"]


def path_with(python: Path) -> str:
    return f"{python.parent}{os.pathsep}{os.environ['PATH']}"
