"""From sources to decontaminated files while things break: the digests are those of a quiet run."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
import ray

from treespan.jobs.pipeline import load_recipe, run_recipe
from treespan.platform.progress import Progress
from treespan.platform.run_record import read_run
from treespan.platform.store import Store

pytestmark = [pytest.mark.ray, pytest.mark.slow]

FAULTS_FILE = Path(__file__).with_name("faults.py")


@pytest.fixture(scope="module")
def faults() -> ModuleType:
    """The module of stores that break; workers get it by value, they could not import it."""
    spec = importlib.util.spec_from_file_location("faults", FAULTS_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["faults"] = module
    spec.loader.exec_module(module)
    ray.cloudpickle.register_pickle_by_value(module)
    return module


def digests_on(store: Store, recipe: Path) -> dict[str, str]:
    run_recipe(load_recipe(recipe), store, Progress(quiet=True), until="decontaminate")
    return {name: output.digest for name, output in read_run(store).steps.items()}


@pytest.fixture(scope="module")
def quiet(
    ray_cluster: None, recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    return digests_on(Store(str(tmp_path_factory.mktemp("quiet"))), recipe)


def test_a_store_that_fails_one_call_in_twenty(
    quiet: dict[str, str], faults: ModuleType, recipe: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    assert digests_on(faults.FlakyStore(str(tmp_path / "store"), str(log)), recipe) == quiet
    failed = Counter(log.read_text().split())
    # Which calls fail depends on how they are spread over processes; that many do, does not.
    assert failed["create"] + failed["write"] + failed["close"] >= 4
    assert failed["open"] + failed["read"] >= 4


def test_killed_workers_and_workers_out_of_memory(
    quiet: dict[str, str], faults: ModuleType, recipe: Path, tmp_path: Path
) -> None:
    fired = tmp_path / "fired"
    fired.mkdir()
    planned = {
        "work/read/files/part-00003": "kill",
        "work/read/ledger/part-00001": "memory",
        "/ingest-.*/files/part-00000": "kill",
        "work/meetings/": "kill",
        "work/links/": "kill",
        "work/similar/": "kill",
        "work/decide-0/decided/": "memory",
        "/curate-.*/files/part-00000": "kill",
        "/curate-.*/index/part-00001": "memory",
        "work/hits/part-00001": "kill",
    }
    store = faults.DoomedStore(str(tmp_path / "store"), planned, str(fired), 0)
    assert digests_on(store, recipe) == quiet
    assert len(list(fired.iterdir())) == len(planned)


def test_a_driver_that_is_killed_in_every_phase(
    quiet: dict[str, str], recipe: Path, tmp_path: Path
) -> None:
    store = Store(str(tmp_path / "store"))
    address = ray.get_runtime_context().gcs_address
    for dies_at in (
        "work/read/files/part-00003",
        "/ingest-.*/files/part-00001",
        "work/keys/part-00001",
        "work/similar/",
        "/curate-.*/index/part-00001",
    ):
        command = [sys.executable, FAULTS_FILE, recipe, store.uri, dies_at]
        done = subprocess.run(
            command,
            env={**os.environ, "RAY_ADDRESS": address},
            check=False,
            capture_output=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert digests_on(store, recipe) == quiet
