"""A small checkpoint with random weights, and the application around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import torch
from fastapi import FastAPI

from treespan.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat
from treespan.model.tokenizer import Tokenizer, train
from treespan.model.transformer import Transformer, init_weights
from treespan.serve.completion import Completer
from treespan.serve.routes import create_app


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


@pytest.fixture
def completer(checkpoint: Checkpoint) -> Iterator[Completer]:
    made = Completer.from_checkpoint(checkpoint, max_running=4, threads=1)
    yield made
    made.engine.close()


@pytest.fixture
def app(completer: Completer) -> FastAPI:
    return create_app(completer)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
        yield made
