"""Loops over bfloat16 that read what they need once and write their result once.

Torch's eager operators each pass over memory, and on the CPU bfloat16 is widened to float32 and back
by each. These do the same arithmetic in float32 and round once. They use one thread. numba compiles
them at their first call, for the machine's vector unit, and keeps the machine code.

NumPy has no bfloat16: arrays hold its bits as uint16, and a float32 is those bits and 16 zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from treespan.platform.kernels import compiled

Bits = NDArray[np.uint16]
Floats = NDArray[np.float32]

_OPTIONS: dict[str, Any] = {
    # What lets a sum be split over vector lanes; values that are not finite keep their meaning.
    "fastmath": {"reassoc", "nsz", "contract", "arcp"},
    # Python's check for a division by zero would keep loops from being vectorised.
    "error_model": "numpy",
}
_ONE = np.float32(1)


def _float_signature(_: Any, bits: Any) -> Any:
    def generate(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


def _bits_signature(_: Any, number: Any) -> Any:
    def generate(__: Any, builder: Any, ___: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


_float_of: Any = intrinsic(_float_signature)
_bits_of: Any = intrinsic(_bits_signature)


def _widen_one(bits: np.uint16) -> Any:
    return _float_of(np.uint32(np.uint32(bits) << np.uint32(16)))


def _round_one(number: np.float32) -> Any:
    """To nearest, ties to even. A NaN stays one."""
    bits: Any = _bits_of(number)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = np.uint16((bits + half) >> np.uint32(16))
    return np.uint16(0x7FC0) if np.isnan(number) else rounded


def _exp_one(number: np.float32) -> Any:
    """exp by Cephes' polynomial, to 2 units in the last place; vectorised, as libm's is not."""
    x = min(max(number, np.float32(-87.0)), np.float32(88.0))
    power = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
    rest = x - power * np.float32(0.693359375) + power * np.float32(2.12194440e-4)
    sum_ = np.float32(1.9875691500e-4)
    sum_ = sum_ * rest + np.float32(1.3981999507e-3)
    sum_ = sum_ * rest + np.float32(8.3334519073e-3)
    sum_ = sum_ * rest + np.float32(4.1665795894e-2)
    sum_ = sum_ * rest + np.float32(1.6666665459e-1)
    sum_ = sum_ * rest + np.float32(5.0000001201e-1)
    value = sum_ * rest * rest + rest + _ONE
    value *= _float_of(np.uint32((np.int32(power) + np.int32(127)) << np.int32(23)))
    return number if np.isnan(number) else value


_widen = compiled(_widen_one, inline="always")
_round = compiled(_round_one, inline="always")
_exp = compiled(_exp_one, inline="always", **_OPTIONS)


def _rms_norm(x: Bits, gain: Bits, eps: np.float32, out: Bits, scales: Floats) -> None:
    rows, width = x.shape
    for i in range(rows):
        squares = np.float32(0)
        for j in range(width):
            squares += _widen(x[i, j]) * _widen(x[i, j])
        scale = _ONE / np.sqrt(squares / np.float32(width) + eps)
        scales[i] = scale
        for j in range(width):
            out[i, j] = _round(_widen(x[i, j]) * scale * _widen(gain[j]))


def _rms_norm_gradient(
    x: Bits, gain: Bits, scales: Floats, upstream: Bits, x_grad: Bits, gain_grad: Floats
) -> None:
    rows, width = x.shape
    gain_grad[:] = 0
    for i in range(rows):
        scale, dot = scales[i], np.float32(0)
        for j in range(width):
            dot += _widen(upstream[i, j]) * _widen(gain[j]) * _widen(x[i, j])
        pull = dot * scale * scale * scale / np.float32(width)
        for j in range(width):
            value, above = _widen(x[i, j]), _widen(upstream[i, j])
            x_grad[i, j] = _round(above * _widen(gain[j]) * scale - value * pull)
            gain_grad[j] += above * value * scale


def _swiglu(gate: Bits, up: Bits, out: Bits) -> None:
    for i in range(out.size):
        x = _widen(gate[i])
        out[i] = _round(x / (_ONE + _exp(-x)) * _widen(up[i]))


def _swiglu_gradient(gate: Bits, up: Bits, upstream: Bits, gate_grad: Bits, up_grad: Bits) -> None:
    for i in range(gate.size):
        x, above = _widen(gate[i]), _widen(upstream[i])
        sigmoid = _ONE / (_ONE + _exp(-x))
        slope = sigmoid * (_ONE + x * (_ONE - sigmoid))
        gate_grad[i] = _round(above * _widen(up[i]) * slope)
        up_grad[i] = _round(above * x * sigmoid)


def _rotate(x: Bits, cos: Floats, sin: Floats, direction: np.float32, out: Bits) -> None:
    rows, tokens, heads, width = x.shape
    half = width // 2
    for b in range(rows):
        table = b if len(cos) > 1 else 0
        for t in range(tokens):
            for h in range(heads):
                for i in range(half):
                    c, s = cos[table, t, i], sin[table, t, i] * direction
                    first, second = _widen(x[b, t, h, i]), _widen(x[b, t, h, half + i])
                    out[b, t, h, i] = _round(first * c - second * s)
                    out[b, t, h, half + i] = _round(second * c + first * s)


def _log_normalizers(logits: Bits, out: Floats) -> None:
    rows, width = logits.shape
    for i in range(rows):
        most = _widen(logits[i, 0])
        for j in range(width):
            most = max(most, _widen(logits[i, j]))
        total = np.float32(0)
        for j in range(width):
            total += _exp(_widen(logits[i, j]) - most)
        out[i] = most + np.log(total)


def _cross_entropy_gradient(
    logits: Bits, normalizers: Floats, targets: NDArray[np.int64], upstream: Floats
) -> None:
    rows, width = logits.shape
    for i in range(rows):
        above, normalizer, target = upstream[i], normalizers[i], max(targets[i], 0)
        wanted = _exp(_widen(logits[i, target]) - normalizer) - _ONE
        for j in range(width):
            logits[i, j] = _round(_exp(_widen(logits[i, j]) - normalizer) * above)
        logits[i, target] = _round(wanted * above)


rms_norm = compiled(_rms_norm, **_OPTIONS)
"""x ``[N, D]`` to ``out``, and one over the root mean square of each row to ``scales``."""
rms_norm_gradient = compiled(_rms_norm_gradient, **_OPTIONS)
"""Gradients of x in bfloat16 and of the gain in float32."""
swiglu = compiled(_swiglu, **_OPTIONS)
"""silu(gate) * up, each ``[N]``."""
swiglu_gradient = compiled(_swiglu_gradient, **_OPTIONS)
"""Gradients of both; the sigmoid is computed anew, which costs less than reading it back."""
rotate = compiled(_rotate, **_OPTIONS)
"""x ``[B, T, H, d]`` turned by tables ``[B or 1, T, d]``; by -1 times the angle for gradients."""
log_normalizers = compiled(_log_normalizers, **_OPTIONS)
"""log(sum(exp)) of each row of logits ``[N, V]``."""
cross_entropy_gradient = compiled(_cross_entropy_gradient, **_OPTIONS)
"""Logits ``[N, V]`` become, in place, upstream * (softmax - one-hot of the target)."""
