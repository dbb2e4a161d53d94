"""Generation with a key-value cache: greedy or sampled, one token at a time.

``next_logits`` and ``Sampler`` are the two halves of a step, for those who drive many sequences at
once; ``generate`` joins them for one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from pydantic import Field
from torch import Tensor

from treespan.model.attention import KvCache
from treespan.model.transformer import Transformer
from treespan.platform.config import Config


class Sampling(Config):
    """How a token is chosen from its distribution."""

    temperature: float = Field(default=0.0, ge=0, le=10)
    """Divides the logits; 0 takes the likeliest token (the first of equals)."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Keeps the smallest set of likeliest tokens that holds this much probability."""
    top_k: int = Field(default=0, ge=0)
    """Keeps this many of the likeliest tokens; 0 keeps all."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the draws of one sequence: equal seeds and weights give equal tokens."""


class Sampler:
    """Draws the tokens of one sequence."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._generator = torch.Generator().manual_seed(sampling.seed)

    def choose(self, logits: Tensor) -> int:
        """An id from float32 ``[V]``: after temperature, top_k, then top_p (arXiv 1904.09751)."""
        sampling = self._sampling
        if sampling.temperature == 0:
            return int(logits.argmax())
        # Shifted first: a tiny temperature would otherwise overflow.
        scaled = (logits.cpu() - logits.max().cpu()) / sampling.temperature
        ordered, ids = scaled.sort(descending=True, stable=True)
        if sampling.top_k:
            ordered = ordered[: sampling.top_k]
        probabilities = ordered.softmax(0)
        before = probabilities.cumsum(0) - probabilities
        kept = probabilities.masked_fill(before >= sampling.top_p, 0.0)
        drawn = torch.multinomial(kept, 1, generator=self._generator)
        return int(ids[drawn])


@torch.inference_mode()
def next_logits(model: Transformer, ids: Sequence[int], cache: KvCache) -> Tensor:
    """Logits float32 ``[V]`` of the token after ``ids``, which follow what the cache holds.

    The whole prompt at first (prefill), then one id at a time; the cache takes them up.
    """
    device = model.output_weight.device
    hidden = model(torch.tensor([ids], device=device), cache=cache)
    return model.project(hidden[:, -1]).float()[0]


def new_cache(model: Transformer, capacity: int) -> KvCache:
    """An empty cache for one sequence of up to ``capacity`` tokens, where the weights are."""
    weight = model.output_weight
    return KvCache(model.config, capacity, dtype=weight.dtype, device=weight.device)


def generate(
    model: Transformer,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    sampling: Sampling | None = None,
    stop_ids: Collection[int] = (),
    vocab_size: int | None = None,
) -> Iterator[int]:
    """Ids that continue ``prompt``, up to ``max_tokens``, ended before any of ``stop_ids``.

    ``vocab_size`` is the tokenizer's, where the model has more rows than that: ids beyond are never
    chosen. Raises ``ValueError`` if the prompt is empty or the sequence would pass the model's
    positions.
    """
    check_length(model, len(prompt), max_tokens)
    sampler = Sampler(sampling or Sampling())
    cache = new_cache(model, len(prompt) + max_tokens)
    pending = list(prompt)
    for _ in range(max_tokens):
        chosen = sampler.choose(next_logits(model, pending, cache)[:vocab_size])
        if chosen in stop_ids:
            return
        yield chosen
        pending = [chosen]


def check_length(model: Transformer, prompt_tokens: int, max_tokens: int) -> None:
    """Raise ``ValueError`` unless a prompt and its continuation fit the model's positions."""
    if prompt_tokens == 0:
        raise ValueError("the prompt is empty")
    if prompt_tokens + max_tokens > model.config.max_positions:
        raise ValueError(
            f"{prompt_tokens} prompt tokens and {max_tokens} new ones exceed the model's "
            f"{model.config.max_positions} positions"
        )
