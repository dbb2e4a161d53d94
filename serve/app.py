"""The Ray Serve application: one deployment that holds the engine and answers HTTP itself.

Routes and engine share a process on purpose: a hop between deployments for every token would cost
more than a small model takes to compute it.

    serve run treespan.serve.app:build checkpoint=DIR
"""

# Annotations stay objects here: Serve reads the type of ``build``'s argument from its signature.

from typing import Any, Literal

import torch
from fastapi import FastAPI
from pydantic import Field
from ray import serve

from treespan.model.checkpoint import load_checkpoint
from treespan.platform.config import Config
from treespan.platform.config import build as build_config
from treespan.serve.completion import Completer
from treespan.serve.fetch import local_checkpoint
from treespan.serve.routes import create_app

_ROOM_FOR_REFUSALS = 64


class ServeConfig(Config):
    """What is served and how; the arguments of ``build``."""

    checkpoint: str
    """Folder of a checkpoint, or a URI that every replica can read."""
    model: str = Field(default="treespan", min_length=1)
    """What requests call the model."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of torch's operators, and the CPUs a replica reserves. By default one CPU, and as
    many threads as Ray gives a replica for its CPUs."""
    dtype: Literal["checkpoint", "float32", "bfloat16"] = "checkpoint"
    """Of the weights in memory; ``checkpoint`` leaves them as they are stored."""
    max_running: int = Field(default=16, ge=1)
    """Requests that one replica computes at once; others are refused with 503."""


@serve.deployment
@serve.ingress()
class CompletionServer:
    """A replica: loads the checkpoint when it starts, then serves the routes."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._completer = load_completer(build_config(ServeConfig, config, where="serve"))

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._completer)


def load_completer(config: ServeConfig) -> Completer:
    """The completer that ``config`` describes. Raises ``UserError`` for an unusable checkpoint."""
    dtype = None if config.dtype == "checkpoint" else getattr(torch, config.dtype)
    with local_checkpoint(config.checkpoint) as folder:
        checkpoint = load_checkpoint(folder, dtype=dtype)
    return Completer.from_checkpoint(
        checkpoint, name=config.model, max_running=config.max_running, threads=config.threads
    )


def build(config: ServeConfig) -> serve.Application:
    """The application, for ``serve run``, a Serve config file, or ``serve.run``."""
    deployment = CompletionServer.options(  # type: ignore[attr-defined]
        ray_actor_options={"num_cpus": config.threads or 1},
        # Serve queues what is beyond this without a word; the engine refuses before.
        max_ongoing_requests=config.max_running + _ROOM_FOR_REFUSALS,
    )
    application: serve.Application = deployment.bind(config.to_dict())
    return application
