"""The engine: token ids in, token ids out, for many requests at once. It knows no text.

All torch work runs on one worker thread, one step of one request at a time. A request submits its
next step when it has handed out the token of the last one, so requests take turns; one that is
cancelled submits no more, and at most the step in flight is wasted. Each has a key-value cache of
its own, and its whole prompt is one step (prefill).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from treespan.model.attention import KvCache
from treespan.model.generate import Sampler, Sampling, check_length, new_cache, next_logits
from treespan.model.transformer import Transformer


class EngineFullError(Exception):
    """As many requests are running as the engine takes."""


class Engine:
    """Runs one model for up to ``max_running`` requests; belongs to one event loop.

    ``vocab_size`` is the tokenizer's: ids beyond it are never chosen. ``threads`` are those of
    torch's operators, by default as the process has them.
    """

    def __init__(
        self,
        model: Transformer,
        *,
        vocab_size: int,
        max_running: int = 16,
        threads: int | None = None,
    ) -> None:
        self._model = model
        self._vocab_size = vocab_size
        self._max_running = max_running
        self._worker = ThreadPoolExecutor(
            1, "engine", initializer=_set_threads, initargs=(threads,)
        )
        self.running = 0
        """Requests that hold a cache now."""
        self.steps = 0
        """Steps done since the start: prefills and decoded tokens."""

    @property
    def max_positions(self) -> int:
        """Tokens that a prompt and its completion may have together."""
        return self._model.config.max_positions

    async def generate(
        self,
        prompt: Sequence[int],
        *,
        max_tokens: int,
        sampling: Sampling,
        stop_ids: Collection[int] = (),
    ) -> AsyncGenerator[int, None]:
        """Ids that continue ``prompt``, up to ``max_tokens``, ended before any of ``stop_ids``.

        Close it (or cancel the task that awaits it) to stop early. The first step raises
        ``EngineFullError`` where no place is free, ``ValueError`` for a prompt that is empty or
        leaves no room for ``max_tokens``.
        """
        check_length(self._model, len(prompt), max_tokens)
        if self.running >= self._max_running:
            raise EngineFullError(f"{self.running} requests are running")
        self.running += 1
        try:
            loop = asyncio.get_running_loop()
            cache = new_cache(self._model, len(prompt) + max_tokens)
            sampler = Sampler(sampling)
            pending = list(prompt)
            for _ in range(max_tokens):
                chosen = await loop.run_in_executor(
                    self._worker, self._step, pending, cache, sampler
                )
                if chosen in stop_ids:
                    return
                yield chosen
                pending = [chosen]
        finally:
            self.running -= 1

    def close(self) -> None:
        """Let the worker end after the step in flight."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _step(self, pending: list[int], cache: KvCache, sampler: Sampler) -> int:
        self.steps += 1
        return sampler.choose(next_logits(self._model, pending, cache)[: self._vocab_size])


def _set_threads(threads: int | None) -> None:
    # OpenMP keeps the number per thread, so it is set on the one that computes.
    if threads is not None:
        torch.set_num_threads(threads)
