"""Rotary position embedding in the rotate-half layout, as Hugging Face's Llama has it.

The tables are computed from the positions in float32 at every forward pass and are no buffers: a
buffer would be cast to bfloat16 along with the weights, which cannot tell position 256 from 257.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from treespan.model.config import ModelConfig
from treespan.model.rope_scaling import Llama3Scaling, YarnScaling


def rope_tables(positions: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each float32 ``[B, 1, T, head_dim]``, of ``positions`` int64 ``[B, T]``.

    Channel i and channel i + head_dim / 2 rotate together, by position times their frequency.
    """
    frequencies = angular_frequencies(config, positions.device)
    angles = positions[:, None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    factor = attention_factor(config)
    return angles.cos() * factor, angles.sin() * factor


def angular_frequencies(config: ModelConfig, device: torch.device | str = "cpu") -> Tensor:
    """Radians per position of each pair of channels: float32 ``[head_dim / 2]``.

    theta^(-2i / head_dim) for pair i (RoFormer, arXiv 2104.09864, equation 15), changed by
    ``config.rope_scaling``. Operations are in the order of transformers' ``modeling_rope_utils``,
    so that float32 rounds alike.
    """
    scaling, width = config.rope_scaling, config.head_dim
    channels = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    scales = config.rope_theta ** (channels / width)
    if scaling is None:
        return 1.0 / scales
    if isinstance(scaling, YarnScaling):
        return _yarn(scales, config.rope_theta, scaling)
    if isinstance(scaling, Llama3Scaling):
        return _llama3(1.0 / scales, scaling)
    return 1.0 / scales / scaling.factor


def attention_factor(config: ModelConfig) -> float:
    """What the tables are multiplied by: 1 but for YaRN, whose queries and keys both grow by it.

    1 + 0.1 ln(factor), so that the logits of attention grow by its square (YaRN, arXiv 2309.00071,
    section 3.4), unless the configuration has another value.
    """
    scaling = config.rope_scaling
    if not isinstance(scaling, YarnScaling):
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor
    return 0.1 * math.log(scaling.factor) + 1.0


def _yarn(scales: Tensor, theta: float, scaling: YarnScaling) -> Tensor:
    """NTK-by-parts (YaRN, section 3.2), with the ramp over channels, as in the authors' code."""
    pairs = len(scales)

    def channel_of(turns: float) -> float:
        """The place of the pair that turns so many times in the original length."""
        length = scaling.original_positions / (turns * 2 * math.pi)
        return pairs * math.log(length) / math.log(theta)

    low, high = channel_of(scaling.beta_fast), channel_of(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * pairs - 1)
    width = high - low if high != low else 0.001
    steps = torch.arange(pairs, device=scales.device, dtype=torch.float32)
    kept = 1 - ((steps - low) / width).clamp(0, 1)
    return 1.0 / (scaling.factor * scales) * (1 - kept) + 1.0 / scales * kept


def _llama3(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    """``apply_scaling`` of the reference code of Llama 3.1 (meta-llama/llama-models)."""
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    wavelengths = 2 * math.pi / plain
    share = (scaling.original_positions / wavelengths - low) / (high - low)
    ramp = (1 - share) * plain / scaling.factor + share * plain
    slowed = torch.where(
        wavelengths > scaling.original_positions / low, plain / scaling.factor, ramp
    )
    return torch.where(wavelengths < scaling.original_positions / high, plain, slowed)
