"""The two sizes at which the same stages run: an H100, and a toy for any CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from treespan.model.config import ModelConfig, preset


@dataclass(frozen=True)
class Attention:
    """One shape at which back ends are compared."""

    rows: int
    seq_len: int
    heads: int
    kv_heads: int
    head_dim: int
    documents: tuple[int, ...]
    """Documents in a row, one case each."""


@dataclass(frozen=True)
class Training:
    """One case of training speed."""

    name: str
    model: ModelConfig
    seq_len: int
    micro_batch: int
    compiled: bool
    """Whether blocks are compiled."""
    recompute: bool
    """Whether activations of blocks are computed anew backwards."""
    target: float | None = None
    """The least share of the device's peak."""


@dataclass(frozen=True)
class Scale:
    """Everything that differs between the sizes."""

    device: torch.device
    checked: ModelConfig
    """The model whose logits are held against another implementation."""
    attention: tuple[Attention, ...]
    training: tuple[Training, ...]
    steps: int
    """Optimizer steps that are timed."""
    offloaded: ModelConfig
    """Trained with its optimizer in the host's memory."""
    offloaded_seq_len: int
    stored: ModelConfig
    """Written and read as a checkpoint."""


def _llama(hidden: int, inner: int, layers: int, heads: int, kv_heads: int) -> ModelConfig:
    return ModelConfig(
        vocab_size=49_152,
        hidden_size=hidden,
        intermediate_size=inner,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        max_positions=32_768,
    )


def gpu() -> Scale:
    """One H100 with 80 GB, and 128 GB of host memory."""
    small = _llama(576, 1536, 30, 9, 3)  # the shape of SmolLM2-135M, its two matrices untied
    large = _llama(2048, 5632, 24, 16, 4)
    return Scale(
        device=torch.device("cuda", 0),
        checked=small,
        attention=(
            Attention(4, 8192, 16, 4, 128, (1, 16)),
            Attention(1, 32_768, 16, 4, 128, (1, 16, 64)),
        ),
        training=(
            Training("135 M, rows of 8k", small, 8192, 8, compiled=True, recompute=False),
            Training("135 M, rows of 32k", small, 32_768, 1, compiled=True, recompute=False),
            Training("1.3 B, rows of 8k", large, 8192, 2, True, False, target=0.5),
            Training("1.3 B, rows of 32k", large, 32_768, 1, True, True, target=0.4),
            Training("1.3 B, rows of 8k, not compiled", large, 8192, 2, False, False),
        ),
        steps=8,
        offloaded=preset("7b", vocab_size=49_152),
        offloaded_seq_len=8192,
        stored=large,
    )


def toy() -> Scale:
    """A model of 0.4 M parameters on a CPU: whether everything runs, not how fast."""
    tiny = ModelConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=256,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        max_positions=512,
    )
    return Scale(
        device=torch.device("cpu"),
        checked=tiny,
        attention=(
            Attention(8, 512, 4, 2, 64, (1, 3, 8, 32)),
            Attention(1, 2048, 12, 4, 64, (1, 4, 16, 64)),
        ),
        training=(
            Training("toy, rows of 128", tiny, 128, 2, compiled=False, recompute=False),
            Training("toy, rows of 512", tiny, 512, 1, compiled=False, recompute=True),
        ),
        steps=2,
        offloaded=tiny,
        offloaded_seq_len=128,
        stored=tiny,
    )
