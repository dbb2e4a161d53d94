"""llama.cpp itself, inside the process of the tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest


@dataclass(frozen=True)
class LlamaCpp:
    """A model that it has loaded."""

    server: Any

    def greedy(self, prompt: list[int], tokens: int) -> list[int]:
        """The likeliest continuation."""
        ids: list[int] = self._complete(prompt, tokens)["tokens"]
        return ids

    def likeliest(self, prompt: list[int]) -> tuple[int, float]:
        """The likeliest next token, which must be a whole character, and its log probability."""
        (found,) = self._complete(prompt, 1)["completion_probabilities"]
        return found["id"], found["logprob"]

    def _complete(self, prompt: list[int], tokens: int) -> dict[str, Any]:
        return self._post(
            "completion",
            prompt=prompt,
            n_predict=tokens,
            temperature=0,
            n_probs=1,
            return_tokens=True,
            ignore_eos=True,
            cache_prompt=False,
        )

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Its token ids of a text."""
        answer = self._post("tokenize", content=text, parse_special=special, add_special=special)
        ids: list[int] = answer["tokens"]
        return ids

    def _post(self, place: str, **request: Any) -> dict[str, Any]:
        answer = httpx.post(f"{self.server.listening_address}/{place}", json=request, timeout=60)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


@contextmanager
def llama_cpp(path: Path) -> Iterator[LlamaCpp]:
    """llama.cpp with the GGUF at ``path``, computing in float32 on one thread."""
    library = pytest.importorskip("xllamacpp", reason="xllamacpp (extra dev) is not installed")
    params = library.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity = 256, 1, False, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = library.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = library.Server(params)
    try:
        yield LlamaCpp(server)
    finally:
        del server
