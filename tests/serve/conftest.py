"""A small checkpoint with random weights, and the application around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from treespan.model.checkpoint import Checkpoint
from treespan.serve.completion import Completer
from treespan.serve.routes import create_app


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
