"""A small model with fresh weights, for tests that change some of them."""

import torch

from treespan.model.config import ModelConfig
from treespan.model.transformer import Transformer, init_weights


def model(*, tied: bool = False, dtype: torch.dtype = torch.float32) -> Transformer:
    config = ModelConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        max_positions=64,
        tie_embeddings=tied,
        init_std=0.2,
    )
    transformer = Transformer(config)
    init_weights(transformer, 0)
    return transformer.to(dtype)
