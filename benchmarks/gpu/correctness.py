"""Whether the device computes what it should: attention, loss, logits."""

from __future__ import annotations

from typing import Any

import torch
from benchmarks.gpu.figures import Recorder
from benchmarks.gpu.rows import random_documents
from benchmarks.gpu.scales import Scale
from torch import Tensor

from treespan.model.attention import PackedRows, attend
from treespan.model.loss import IGNORED, token_losses
from treespan.model.packed_attention import packed_rows
from treespan.model.transformer import Transformer, init_weights
from treespan.platform.errors import UserError

BFLOAT16_ERROR = 0.02
"""Largest error of a result, as a share of its largest value: ten roundings to eight bits."""
FLOAT32_ERROR = 1e-4
"""The same where all is float32; TF32 is off."""
PEER_ERRORS = 1.5
"""How much further than another bfloat16 implementation ours may be from the float32 logits."""


def measure(scale: Scale, found: Recorder) -> None:
    """Compare everything with a reference that needs no trust."""
    _attention(scale, found)
    _loss(scale, found)
    _logits(scale, found)


def _attention(scale: Scale, found: Recorder) -> None:
    shape = scale.checked
    ids = random_documents(2, 384, 5)
    generator = torch.Generator().manual_seed(0)
    query, key, value, upstream = (
        torch.randn(2, heads, 384, shape.head_dim, generator=generator).to(scale.device)
        for heads in (shape.num_heads, shape.num_kv_heads, shape.num_kv_heads, shape.num_heads)
    )
    heads = [tensor.bfloat16() for tensor in (query, key, value)]
    wide = [tensor.float() for tensor in heads]
    expected = _gradients(wide, upstream, packed_rows(ids, "sdpa", device=scale.device))
    for backend in ("sdpa", "documents", "flex", "varlen"):
        try:
            rows = packed_rows(ids, backend, device=scale.device)
            actual = _gradients(heads, upstream.bfloat16(), rows)
        except UserError as error:
            found.show(f"attention by {backend}", f"not here: {error.problem}")
            continue
        worst = max(_error(*pair) for pair in zip(actual, expected, strict=True))
        found.at_most(f"attention by {backend}, with gradients", worst, BFLOAT16_ERROR)


def _gradients(heads: list[Tensor], upstream: Tensor, rows: PackedRows) -> list[Tensor]:
    query, key, value = (tensor.detach().requires_grad_() for tensor in heads)
    mixed = attend(query, key, value, rows)
    return [mixed.detach(), *torch.autograd.grad(mixed, (query, key, value), upstream)]


def _loss(scale: Scale, found: Recorder) -> None:
    shape = scale.checked
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, 256, shape.hidden_size, generator=generator).to(scale.device)
    weight = torch.randn(shape.vocab_size, shape.hidden_size, generator=generator) * 0.05
    weight = weight.to(scale.device)
    targets = torch.randint(shape.vocab_size, (1, 256), generator=generator).to(scale.device)
    targets[:, ::7] = IGNORED
    results = []
    for dtype in (torch.float32, torch.float64):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in (hidden, weight)]
        if dtype == torch.float32:
            losses = token_losses(leaves[0], leaves[1], targets, chunk_tokens=100)
        else:
            logits = leaves[0] @ leaves[1].T
            right = logits.gather(2, targets.clamp(min=0)[..., None])[..., 0]
            losses = (logits.logsumexp(2) - right) * (targets != IGNORED)
        results.append([losses.detach(), *torch.autograd.grad(losses.sum(), leaves)])
    worst = max(_error(*pair) for pair in zip(*results, strict=True))
    found.at_most("loss in chunks against the formula, with gradients", worst, FLOAT32_ERROR)


def _logits(scale: Scale, found: Recorder) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = scale.checked
    model = Transformer(shape)
    init_weights(model, 0)
    # Older releases read the first, newer ones the second.
    rotation: dict[str, Any] = {
        "rope_theta": shape.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
    }
    with torch.device(scale.device):
        peer = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=shape.vocab_size,
                hidden_size=shape.hidden_size,
                intermediate_size=shape.intermediate_size,
                num_hidden_layers=shape.num_layers,
                num_attention_heads=shape.num_heads,
                num_key_value_heads=shape.num_kv_heads,
                max_position_embeddings=shape.max_positions,
                rms_norm_eps=shape.norm_eps,
                **rotation,
            )
        )
    peer.load_state_dict(model.state_dict())
    model.to(scale.device)
    tokens = torch.randint(shape.vocab_size, (2, 384), device=scale.device)
    with torch.no_grad():
        expected = peer(tokens).logits
        found.at_most(
            "logits against transformers, float32",
            _error(model.project(model(tokens)), expected),
            FLOAT32_ERROR,
        )
        model.bfloat16()
        peer.bfloat16()
        ours = _error(model.project(model(tokens)), expected)
        theirs = _error(peer(tokens).logits, expected)
    found.show("error of transformers in bfloat16", theirs)
    found.at_most("error of ours in bfloat16", ours, PEER_ERRORS * theirs)


def _error(actual: Tensor, expected: Tensor) -> float:
    """The largest difference as a share of the largest value."""
    difference = (actual.double() - expected.double()).abs().max()
    return float(difference / expected.double().abs().max())
