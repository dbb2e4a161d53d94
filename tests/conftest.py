"""What all tests share: one Ray cluster for the whole run, and small corpora of real files."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import torch
from hypothesis import HealthCheck, settings

from treespan.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat
from treespan.model.tokenizer import Tokenizer, train
from treespan.model.transformer import Transformer, init_weights

# Timings say nothing on a machine that does other work beside the tests.
settings.register_profile("treespan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("treespan")
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Of the S3 server of the tests; set before Ray starts, so that its workers have them.
os.environ["AWS_ACCESS_KEY_ID"] = "test"
os.environ["AWS_SECRET_ACCESS_KEY"] = "test"
ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need Ray come last, so that the quick ones report first."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is not None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local cluster of two logical CPUs that lives as long as the test run."""
    from treespan.platform.ray_session import RayConfig, ray_session

    with ray_session(RayConfig(num_cpus=2)):
        yield


@contextmanager
def server(command: list[str], ready: str) -> Iterator[int]:
    """A server in a process of its own, on a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-u", "-m", *command, str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            assert any(ready in line for line in process.stdout)
            # It logs every request; a full pipe would stop it.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield port
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[str], str]]:
    """A function from ``bucket/prefix`` to its URI at a server that speaks S3."""
    with server(["moto.server", "-H", "127.0.0.1", "-p"], "Running on") as port:
        assert httpx.put(f"http://127.0.0.1:{port}/bucket").is_success
        options = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
        yield lambda path: f"s3://{path}?{options}"


@pytest.fixture(scope="session")
def gs() -> Iterator[Callable[[str], str]]:
    """A function from ``bucket/prefix`` to its URI at a server that speaks GCS."""
    emulator = "gcp_storage_emulator start --in-memory --default-bucket=bucket --host=127.0.0.1"
    with server([*emulator.split(), "--port"], "All services started") as port:
        options = f"endpoint_override=127.0.0.1:{port}&scheme=http&retry_limit_seconds=5"
        yield lambda path: f"gs://anonymous@{path}?{options}"


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    code = [Path(__file__).read_text(), "naïve = 'π ≈ 3.14 → 日本語 🎉'\n" * 3]
    return train(code, vocab_size=400, special_tokens=FimFormat().special_tokens())


@pytest.fixture(scope="session")
def checkpoint_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    config = ModelConfig(
        vocab_size=416,
        hidden_size=64,
        intermediate_size=96,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        max_positions=256,
        init_std=0.3,
    )
    model = Transformer(config)
    init_weights(model, 0)
    with torch.no_grad():
        # Most ids become ordinary text: random weights would end too soon, and with odd bytes.
        model.lm_head.weight[:6] *= 0.01
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder, config, model.state_dict(), tokenizer, FimFormat(), {})
    return folder


@pytest.fixture(scope="session")
def checkpoint(checkpoint_folder: Path) -> Checkpoint:
    return load_checkpoint(checkpoint_folder)
