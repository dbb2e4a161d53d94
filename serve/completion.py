"""A completion: the prompt, the engine's tokens, and the text they make up, as one stream.

Whoever needs a completion comes through here: the HTTP routes and the command line.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Self

from treespan.model.checkpoint import Checkpoint
from treespan.model.fim_format import FimRenderer
from treespan.model.generate import Sampling
from treespan.serve.api import CompletionRequest, FinishReason, RequestError
from treespan.serve.engine import Engine, EngineFullError
from treespan.serve.prompt import render_prompt
from treespan.serve.text_stream import TextStream

_RETRY_AFTER_S = 1


@dataclass(frozen=True)
class Piece:
    """Text to append. The last piece, and only it, has a finish reason."""

    text: str
    finish_reason: FinishReason | None
    prompt_tokens: int
    completion_tokens: int
    """Generated so far."""


class Completer:
    """Completes requests with one checkpoint on one engine."""

    def __init__(self, engine: Engine, renderer: FimRenderer, *, name: str) -> None:
        self.engine = engine
        self._renderer = renderer
        self.name = name
        """What requests call the model."""

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        *,
        name: str = "treespan",
        max_running: int = 16,
        threads: int | None = None,
    ) -> Self:
        """With an engine of its own."""
        engine = Engine(
            checkpoint.model,
            vocab_size=checkpoint.tokenizer.vocab_size,
            max_running=max_running,
            threads=threads,
        )
        return cls(engine, FimRenderer(checkpoint.fim_format, checkpoint.tokenizer), name=name)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer; close it to stop early.

        Raises ``RequestError`` with the first piece, so that a refusal precedes any answer.
        """
        if request.model != self.name:
            raise RequestError(
                f"there is no model {request.model!r}; this server has {self.name!r}",
                status=404,
                param="model",
                code="model_not_found",
            )
        prompt = await asyncio.to_thread(self._render, request)
        seed = secrets.randbits(63) if request.seed is None else request.seed
        sampling = Sampling(temperature=request.temperature, top_p=request.top_p, seed=seed)
        stream = TextStream(self._renderer.tokenizer, request.stops)
        count = 0
        tokens = self.engine.generate(
            prompt,
            max_tokens=request.max_tokens,
            sampling=sampling,
            stop_ids=self._renderer.stop_ids,
        )
        try:
            async with aclosing(tokens):
                async for token in tokens:
                    count += 1
                    text = stream.push(token)
                    if stream.stopped:
                        break
                    if text:
                        yield Piece(text, None, len(prompt), count)
                else:
                    text = stream.finish()
        except EngineFullError as error:
            raise RequestError(
                f"the server is busy ({error}); try again in {_RETRY_AFTER_S} s",
                status=503,
                code="server_busy",
                retry_after_s=_RETRY_AFTER_S,
            ) from None
        ended = stream.stopped or count < request.max_tokens
        yield Piece(text, "stop" if ended else "length", len(prompt), count)

    def _render(self, request: CompletionRequest) -> list[int]:
        return render_prompt(
            self._renderer,
            prefix=request.prompt,
            suffix=request.suffix,
            path=request.path,
            max_tokens=request.max_tokens,
            max_positions=self.engine.max_positions,
        )
