"""Cross-entropy per token that never holds the logits of all tokens.

With a vocabulary of 49,152, the float32 logits of a row of 32,768 tokens are 6 GB, and their
gradient as much again. Here a chunk of tokens is projected, scored and forgotten; the backward pass
projects it again. That is one more matrix product in four, for the output projection only; what fits
one chunk keeps its logits, in the dtype of the weights.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from treespan.model.fused import bits_of, has_kernel

IGNORED = -100
"""A target without a loss."""
_CHUNK_LOGITS = 2**26  # 256 MiB of float32


def token_losses(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, chunk_tokens: int | None = None
) -> Tensor:
    """Cross-entropy in nats of each token: float32 ``[B, T]``, 0 where the target is ``IGNORED``.

    ``hidden`` is ``[B, T, D]``, ``weight`` ``[V, D]`` of the same dtype, ``targets`` int64
    ``[B, T]`` (already shifted: what stands at t is predicted from hidden at t). ``chunk_tokens``
    tokens are projected at a time; by default as many as have 256 MiB of logits. Differentiable
    once in ``hidden`` and ``weight``. What fits one chunk is not computed twice.
    """
    flat_hidden, flat_targets = hidden.flatten(0, 1), targets.flatten()
    if chunk_tokens is None:
        chunk_tokens = max(1, _CHUNK_LOGITS // weight.shape[0])
    apply: Any = _TokenLosses.apply
    losses: Tensor = apply(flat_hidden, weight, flat_targets, chunk_tokens)
    return losses.view_as(targets)


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, chunk_tokens: int
    ) -> Tensor:
        losses, normalizers = [], []
        for start in range(0, len(targets), chunk_tokens):
            part = slice(start, start + chunk_tokens)
            wanted = targets[part]
            logits = F.linear(hidden[part], weight)
            normalizer = _log_normalizers(logits)
            index = wanted.clamp(min=0)[:, None]
            loss = normalizer - logits.gather(1, index).squeeze(1)
            losses.append(loss.masked_fill_(wanted == IGNORED, 0.0))
            normalizers.append(normalizer)
        ctx.save_for_backward(hidden, weight, targets, torch.cat(normalizers))
        ctx.chunk_tokens = chunk_tokens
        ctx.logits = logits if len(losses) == 1 else None
        return torch.cat(losses)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, None, None]:
        hidden, weight, targets, normalizers = ctx.saved_tensors
        scale = upstream[0].masked_fill(targets == IGNORED, 0.0)
        if len(targets) <= ctx.chunk_tokens:
            logits = F.linear(hidden, weight) if ctx.logits is None else ctx.logits
            ctx.logits = None  # about to be overwritten
            grad = _cross_entropy_gradient(logits, normalizers, targets, scale)
            return grad @ weight, grad.t() @ hidden, None, None
        hidden_grad = torch.empty_like(hidden)
        # Many small bfloat16 sums would lose what a float32 one keeps.
        weight_grad = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for start in range(0, len(targets), ctx.chunk_tokens):
            part = slice(start, start + ctx.chunk_tokens)
            logits = F.linear(hidden[part], weight)
            grad = _cross_entropy_gradient(logits, normalizers[part], targets[part], scale[part])
            torch.mm(grad, weight, out=hidden_grad[part])
            weight_grad += grad.t() @ hidden[part]
        return hidden_grad, weight_grad.to(weight.dtype), None, None


def _log_normalizers(logits: Tensor) -> Tensor:
    """float32 ``[N]``: log(sum(exp)) of each row of ``[N, V]``."""
    if not has_kernel(logits):
        return logits.float().logsumexp(dim=1)
    from treespan.model import cpu_kernels

    normalizers = torch.empty(len(logits))
    cpu_kernels.log_normalizers(bits_of(logits), normalizers.numpy())
    return normalizers


def _cross_entropy_gradient(
    logits: Tensor, normalizers: Tensor, targets: Tensor, scale: Tensor
) -> Tensor:
    """scale * (softmax - one-hot of the target), in the dtype of ``logits``, which it overwrites."""
    if has_kernel(logits):
        from treespan.model import cpu_kernels

        arrays = (normalizers.numpy(), targets.numpy(), scale.contiguous().numpy())
        cpu_kernels.cross_entropy_gradient(bits_of(logits), *arrays)
        return logits
    grad = logits.float().sub_(normalizers[:, None]).exp_()
    index = targets.clamp(min=0)[:, None]
    grad.scatter_add_(1, index, grad.new_full(index.shape, -1.0))
    return grad.mul_(scale[:, None]).to(logits.dtype)
