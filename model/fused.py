"""The elementwise parts of the transformer, each in one pass forwards and one backwards.

Every function here is a formula in torch, which any dtype and device runs and which is the
reference, and beside it a kernel (``cpu_kernels``) for training and prompts in bfloat16 on a CPU
thread. What autograd keeps is the inputs alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

_LEAST_NUMBERS = 2**14  # below, torch's operators are done in some microseconds


def has_kernel(x: Tensor) -> bool:
    """Whether a pass over ``x`` is for a kernel: long, bfloat16, and on one thread of the CPU.

    With more threads torch's own operators divide the work, which the kernels do not.
    """
    return (
        x.dtype == torch.bfloat16
        and x.device.type == "cpu"
        and x.numel() >= _LEAST_NUMBERS
        and torch.get_num_threads() == 1
        and not torch.compiler.is_compiling()
    )


def rms_norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """Root mean square norm over the last dimension, with statistics in float32."""
    if has_kernel(x) and gain.dtype == x.dtype:
        normed: Tensor = _RmsNorm.apply(x, gain, eps)  # type: ignore[no-untyped-call]
        return normed
    return F.rms_norm(x, gain.shape, gain, eps)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, of one shape."""
    if has_kernel(gate) and gate.shape == up.shape and gate.dtype == up.dtype:
        gated: Tensor = _Swiglu.apply(gate, up)  # type: ignore[no-untyped-call]
        return gated
    return F.silu(gate) * up


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x`` ``[B, H, T, d]`` turned by the tables of ``rope``; in float32, returned in x's dtype."""
    if has_kernel(x):
        rotated: Tensor = _Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
        return rotated
    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (wide * cos + turned * sin).to(x.dtype)


def bits_of(x: Tensor) -> NDArray[Any]:
    """The memory of a contiguous bfloat16 tensor as uint16."""
    bits: NDArray[Any] = x.detach().view(torch.uint16).numpy()
    return bits


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        from treespan.model import cpu_kernels

        rows = x.contiguous().flatten(0, -2)
        out, scales = torch.empty_like(rows), torch.empty(len(rows))
        cpu_kernels.rms_norm(
            bits_of(rows), bits_of(gain), np.float32(eps), bits_of(out), scales.numpy()
        )
        ctx.save_for_backward(rows, gain, scales)
        return out.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None]:
        from treespan.model import cpu_kernels

        rows, gain, scales = ctx.saved_tensors
        above = upstream[0].contiguous()
        x_grad, gain_grad = torch.empty_like(rows), torch.empty(gain.shape)
        cpu_kernels.rms_norm_gradient(
            bits_of(rows),
            bits_of(gain),
            scales.numpy(),
            bits_of(above.view_as(rows)),
            bits_of(x_grad),
            gain_grad.numpy(),
        )
        return x_grad.view(above.shape), gain_grad.to(gain.dtype), None


class _Swiglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        from treespan.model import cpu_kernels

        gate, up = gate.contiguous(), up.contiguous()
        out = torch.empty_like(gate)
        cpu_kernels.swiglu(*(bits_of(x.flatten()) for x in (gate, up, out)))
        ctx.save_for_backward(gate, up)
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor]:
        from treespan.model import cpu_kernels

        gate, up = ctx.saved_tensors
        above = upstream[0].contiguous()
        gate_grad, up_grad = torch.empty_like(gate), torch.empty_like(up)
        arrays = (gate, up, above, gate_grad, up_grad)
        cpu_kernels.swiglu_gradient(*(bits_of(x.flatten()) for x in arrays))
        return gate_grad, up_grad


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, 1.0)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turned(upstream[0], cos, sin, -1.0), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, direction: float) -> Tensor:
    from treespan.model import cpu_kernels

    # Projections write heads side by side: [B, T, H, d] is how x lies in memory.
    lying = x.transpose(1, 2).contiguous()
    out = torch.empty_like(lying)
    cpu_kernels.rotate(
        bits_of(lying),
        cos.squeeze(1).contiguous().numpy(),
        sin.squeeze(1).contiguous().numpy(),
        np.float32(direction),
        bits_of(out),
    )
    return out.transpose(1, 2)
