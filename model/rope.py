"""Rotary position embedding in the rotate-half layout, as Hugging Face's Llama has it.

The tables are computed from the positions in float32 at every forward pass and are no buffers: a
buffer would be cast to bfloat16 along with the weights, which cannot tell position 256 from 257.
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_tables(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each float32 ``[B, 1, T, head_dim]``, of ``positions`` int64 ``[B, T]``.

    Channel i and channel i + head_dim / 2 rotate together, by position * theta^(-2i / head_dim)
    (RoFormer, arXiv 2104.09864, equation 15).
    """
    channels = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    frequencies = 1.0 / theta ** (channels / head_dim)
    angles = positions[:, None, :, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x`` ``[B, H, T, head_dim]`` turned by the tables; computed in float32, returned in x's."""
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (wide * cos + turned * sin).to(x.dtype)
