"""What all tests share: one Ray cluster for the whole run, and small corpora of real files."""

import os
from collections.abc import Iterator
from pathlib import Path

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
