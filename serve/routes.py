"""The HTTP routes, as a FastAPI application that runs under Ray Serve or any ASGI server.

Every refusal is OpenAI's error object: 400 names the field that is wrong, 404 an unknown model, 503
comes with ``Retry-After``. A refusal precedes the first byte of a stream. The ``x-request-id`` of
requests and responses is Ray Serve's doing.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from treespan.serve.api import (
    Choice,
    CompletionRequest,
    CompletionResponse,
    ModelCard,
    ModelList,
    RequestError,
    Usage,
    refusal,
)
from treespan.serve.completion import Completer, Piece
from treespan.serve.disconnect import CancelOnDisconnect

_log = logging.getLogger(__name__)


def create_app(completer: Completer) -> FastAPI:
    """The application around ``completer``."""
    app = FastAPI(title="Treespan", docs_url=None, redoc_url=None)
    app.add_middleware(CancelOnDisconnect)
    app.add_exception_handler(RequestError, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_failure)
    started = int(time.time())

    @app.post("/v1/completions", response_model=CompletionResponse)
    async def create_completion(body: CompletionRequest) -> Response:
        if body.stream_options is not None and not body.stream:
            raise RequestError("'stream_options' needs 'stream'", param="stream_options")
        pieces = completer.complete(body)
        first = await anext(pieces)
        answer = _Answer(body)
        if body.stream:
            events = _events(answer, first, pieces)
            return StreamingResponse(
                events, media_type="text/event-stream", headers={"cache-control": "no-cache"}
            )
        whole = [first, *[piece async for piece in pieces]]
        text = "".join(piece.text for piece in whole)
        return JSONResponse(answer.with_choice(text, whole[-1]) | answer.usage(whole[-1]))

    @app.get("/v1/models")
    async def list_models() -> ModelList:
        length = completer.engine.max_positions
        return ModelList(data=[ModelCard(id=completer.name, created=started, max_model_len=length)])

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "model": completer.name, "running": completer.engine.running}

    return app


class _Answer:
    """The fields that all events of one answer share."""

    def __init__(self, request: CompletionRequest) -> None:
        self._id = f"cmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = request.model
        options = request.stream_options
        self.streams_usage = options is not None and options.include_usage

    def with_choice(self, text: str, piece: Piece) -> dict[str, Any]:
        """The response, or one event, without usage."""
        return self._with([Choice(text=text, finish_reason=piece.finish_reason)])

    def usage_event(self, last: Piece) -> dict[str, Any]:
        """The event after the last choice."""
        return self._with([]) | self.usage(last)

    def usage(self, last: Piece) -> dict[str, Any]:
        """The token counts, as a field."""
        total = last.prompt_tokens + last.completion_tokens
        counts = Usage(
            prompt_tokens=last.prompt_tokens,
            completion_tokens=last.completion_tokens,
            total_tokens=total,
        )
        return {"usage": counts.model_dump()}

    def _with(self, choices: list[Choice]) -> dict[str, Any]:
        response = CompletionResponse(
            id=self._id, created=self._created, model=self._model, choices=choices
        )
        return response.model_dump(exclude={"usage"})


async def _events(
    answer: _Answer, first: Piece, rest: AsyncGenerator[Piece, None]
) -> AsyncGenerator[str, None]:
    async with aclosing(rest):
        try:
            piece = first
            yield _event(answer.with_choice(piece.text, piece))
            async for piece in rest:
                yield _event(answer.with_choice(piece.text, piece))
            if answer.streams_usage:
                yield _event(answer.usage_event(piece))
        except Exception:  # noqa: BLE001 - the status is sent, the stream has to say it
            _log.exception("a completion failed while it was streamed")
            yield _event(_internal_error().body())
    yield "data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _internal_error() -> RequestError:
    return RequestError("the server failed; see its log", status=500, code="internal_error")


def _response(error: RequestError) -> JSONResponse:
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    return JSONResponse(error.body(), error.status, headers=headers)


async def _on_refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _response(error)


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(refusal(error.errors()))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = HTTPStatus(error.status_code).phrase.lower()
    message = f"{request.method} {request.url.path}: {what}"
    return _response(RequestError(message, status=error.status_code))


async def _on_failure(_: Request, __: Exception) -> Response:
    return _response(_internal_error())
