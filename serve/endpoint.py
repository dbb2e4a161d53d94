"""Serving a checkpoint from the command line: start, wait, stop; or one completion without Ray."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import threading
import time
from contextlib import aclosing

import httpx

from treespan.platform.config import build as build_config
from treespan.platform.errors import UserError
from treespan.platform.ray_session import RayConfig, ray_session
from treespan.serve.api import CompletionRequest, RequestError
from treespan.serve.app import ServeConfig, build, load_completer
from treespan.serve.fetch import check_place

_APPLICATION = "treespan"
_READY_S = 60.0


def complete(
    checkpoint: str,
    prefix: str,
    suffix: str | None = None,
    *,
    path: str | None = None,
    max_tokens: int = 64,
    temperature: float = 0.0,
    seed: int | None = None,
) -> str:
    """The completion of one request, computed in this process.

    Raises ``UserError`` for an unusable checkpoint or an impossible request.
    """
    completer = load_completer(ServeConfig(checkpoint=checkpoint))
    fields = {
        "model": completer.name,
        "prompt": prefix,
        "suffix": suffix,
        "path": path,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
    }
    request = build_config(CompletionRequest, fields, where="the request")

    async def collect() -> str:
        async with aclosing(completer.complete(request)) as pieces:
            return "".join([piece.text async for piece in pieces])

    try:
        return asyncio.run(collect())
    except RequestError as error:
        raise UserError(f"{error.message}.") from None
    finally:
        completer.engine.close()


def start(config: ServeConfig, *, host: str = "127.0.0.1", port: int = 8000) -> str:
    """Serve ``config`` within the connected Ray; returns the base URL once it answers.

    Raises ``UserError`` if the checkpoint is unusable, the port is in use, or Serve already listens
    elsewhere in this Ray.
    """
    check(config, host=host, port=port)
    from ray import serve
    from ray.serve.config import HTTPOptions

    reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    url = f"http://{reachable}:{port}"
    # Serve sets up its logger when it is imported; only from here on is it ours to quieten.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(http_options=HTTPOptions(host=host, port=port))
    # A Serve that was there before keeps its port, and must keep its application too.
    _wait_for(f"{url}/-/healthz", any_status=True)
    serve.run(build(config), name=_APPLICATION, route_prefix="/")
    _wait_for(f"{url}/health")
    return url


def stop(*, ray_ends: bool = False) -> None:
    """Stop what ``start`` started, requests in flight first.

    ``ray_ends`` says that the connected Ray ends right after: Serve's own processes end with it,
    and need not be ended one by one (which takes seconds, and prints an error that is none).
    """
    from ray import serve

    serve.delete(_APPLICATION)
    if not ray_ends:
        serve.shutdown()  # type: ignore[no-untyped-call]


def check(config: ServeConfig, *, host: str, port: int) -> None:
    """Raise ``UserError`` for what would make ``start`` fail; takes a second and needs no Ray."""
    check_place(config.checkpoint)
    with socket.socket() as probe:
        # A port whose last connections still time out is free to listen on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UserError(f"port {port} is in use.", "Give another --port.") from None
            raise UserError(
                f"cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}).",
                "Give another --host or --port.",
            ) from None


def serve_until_interrupted(
    checkpoint: str, *, host: str = "127.0.0.1", port: int = 8000, ray: RayConfig | None = None
) -> None:
    """Serve a checkpoint until Ctrl-C; starts a local Ray if none is at hand."""
    config = ServeConfig(checkpoint=checkpoint)
    check(config, host=host, port=port)
    with ray_session(ray or RayConfig()) as ray_ends:
        try:
            url = start(config, host=host, port=port)
            print(f"{config.model} is served at {url}/v1 (Ctrl-C ends it).", flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            pass
        finally:
            stop(ray_ends=ray_ends)


def _wait_for(url: str, *, any_status: bool = False) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            if httpx.get(url, timeout=5, trust_env=False).is_success or any_status:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise UserError(
                f"{url} does not answer, though Serve runs.",
                "Another Serve of this Ray may listen on another port; stop it, or use its port.",
            )
        time.sleep(0.1)
