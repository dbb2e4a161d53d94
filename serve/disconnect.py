"""The end of a request whose client goes away.

Plain ASGI, below FastAPI, so that it holds for streams and whole answers alike, under Ray Serve and
under any other server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class CancelOnDisconnect:
    """Cancels the work on a request whose client has gone."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # One message at a time: a large body must not pile up here.
        messages: asyncio.Queue[Message] = asyncio.Queue(maxsize=1)
        gone = False

        async def watch() -> None:
            nonlocal gone
            while (message := await receive())["type"] != "http.disconnect":
                await messages.put(message)
            gone = True
            work.cancel()

        work = asyncio.ensure_future(self._app(scope, messages.get, send))
        watcher = asyncio.create_task(watch())
        try:
            await work
        except asyncio.CancelledError:
            if not gone:
                raise
        finally:
            watcher.cancel()
