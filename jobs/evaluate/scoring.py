"""Scoring one hole with one model: losses apart for the middle and its end, and the greedy answer.

The two losses are kept apart on purpose: objectives differ mostly in how well a model learns to
*end*, which a mean over both would hide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from treespan.jobs.evaluate.holes import Hole
from treespan.model.fim_format import FimRenderer
from treespan.model.generate import generate
from treespan.model.loss import token_losses
from treespan.model.transformer import Transformer

_EXTRA_TOKENS = 16
"""How far past the true length an answer may run before it is cut and counted as wrong."""


@dataclass(frozen=True)
class Losses:
    """Negative log-likelihoods in nats."""

    middle: float
    """Sum over the tokens of the middle."""
    end: float | None
    """Of the end mark right after the middle; None for next-token prediction."""


@torch.inference_mode()
def model_losses(model: Transformer, renderer: FimRenderer, hole: Hole) -> Losses:
    """The losses of ``hole`` under ``model``."""
    sequence = torch.tensor([[*hole.prompt, *hole.middle, renderer.end_of_middle]])
    hidden = model(sequence[:, :-1])
    losses = token_losses(hidden, model.output_weight, sequence[:, 1:])[0].double()
    first = len(hole.prompt) - 1
    last = first + len(hole.middle)
    end = None if hole.objective == "ntp" else float(losses[last])
    return Losses(float(losses[first:last].sum()), end)


def unigram_losses(log_likelihoods: NDArray[np.float64], end_of_middle: int, hole: Hole) -> Losses:
    """The losses of ``hole`` where every token is drawn by its frequency: [vocab] in nats, < 0."""
    end = None if hole.objective == "ntp" else -float(log_likelihoods[end_of_middle])
    return Losses(-float(log_likelihoods[hole.middle].sum()), end)


def unigram(token_counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-likelihoods [vocab] from counts, one added to each so that none is impossible."""
    smoothed = token_counts.astype(np.float64) + 1
    log_likelihoods: NDArray[np.float64] = np.log(smoothed / smoothed.sum())
    return log_likelihoods


def answer(model: Transformer, renderer: FimRenderer, hole: Hole) -> str:
    """The greedy completion of ``hole``."""
    ids = generate(
        model,
        hole.prompt,
        max_tokens=min(
            len(hole.middle) + _EXTRA_TOKENS, model.config.max_positions - len(hole.prompt)
        ),
        stop_ids=renderer.stop_ids,
        vocab_size=renderer.tokenizer.vocab_size,
    )
    return renderer.tokenizer.decode(list(ids))


def is_exact(answer: str, truth: str) -> bool:
    """Equality after stripping blanks at both ends, as in aiXcoder's evaluation scripts."""
    return answer.strip() == truth.strip()
