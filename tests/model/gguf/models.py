"""Small models of every shape that a GGUF can hold."""

from __future__ import annotations

from typing import Any

import torch

from treespan.model.checkpoint import Checkpoint
from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat
from treespan.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling
from treespan.model.tokenizer import Tokenizer
from treespan.model.transformer import Transformer, init_weights

SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tie_embeddings": True},
    "qwen2": {"attention_bias": "qkv", "rope_theta": 1e6},
    "biases": {"attention_bias": "all"},
    "wide heads": {"head_width": 32},
    "linear": {"rope_scaling": LinearScaling(factor=4.0)},
    "yarn": {"rope_scaling": YarnScaling(factor=4.0, original_positions=64)},
    "yarn, other attention": {
        "rope_scaling": YarnScaling(
            factor=4.0, original_positions=64, attention_factor=1.5, beta_fast=16.0
        )
    },
    "llama3": {
        "rope_scaling": Llama3Scaling(factor=8.0, original_positions=64),
        "rope_theta": 500.0,
        "head_width": 64,
    },
}


def fresh(tokenizer: Tokenizer, **changes: Any) -> Checkpoint:
    """A checkpoint with random weights that depend strongly on positions and biases."""
    values = {
        "vocab_size": tokenizer.vocab_size + 16,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_layers": 2,
        "num_heads": 4,
        "num_kv_heads": 2,
        "max_positions": 256,
        "rope_theta": 10_000.0,
        "init_std": 0.3,
    }
    config = ModelConfig.model_validate({**values, **changes})
    model = Transformer(config)
    init_weights(model, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(noise, alpha=0.3)
    return Checkpoint(config, model.eval(), tokenizer, FimFormat(), {})


@torch.no_grad()
def greedy(model: Transformer, prompt: list[int], tokens: int) -> list[int]:
    """The likeliest continuation, without a cache."""
    ids = list(prompt)
    for _ in range(tokens):
        ids.append(int(model.project(model(torch.tensor([ids])))[0, -1].argmax()))
    return ids[len(prompt) :]
