"""The loss of the length head against its formula, and what it does to weights and gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from treespan.model.length_head import LengthHead

NAN = math.nan


def case() -> tuple[LengthHead, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    head = LengthHead(6)
    with torch.no_grad():
        head.projection.weight.normal_(generator=generator)
        head.projection.bias.fill_(0.3)
    hidden = torch.randn(2, 5, 6, generator=generator).requires_grad_()
    left = torch.tensor([[NAN, 1.0, 0.5, 0.0, NAN], [NAN, NAN, NAN, 1.0, 0.0]])
    return head, hidden, left


def test_the_loss_is_the_formula() -> None:
    head, hidden, left = case()
    total, count = head.loss(hidden, left)
    weight, bias = head.projection.weight[0].tolist(), head.projection.bias.item()
    expected = []
    for row in range(2):
        for place in range(5):
            if not math.isnan(left[row, place]):
                dot = sum(w * h for w, h in zip(weight, hidden[row, place].tolist(), strict=True))
                predicted = 1 / (1 + math.exp(-dot - bias))
                expected.append(abs(predicted - left[row, place].item()))
    assert count == len(expected) == 5
    assert total.dtype == torch.float32
    torch.testing.assert_close(total.item(), sum(expected), rtol=1e-5, atol=1e-6)


def test_gradients_reach_middles_only() -> None:
    head, hidden, left = case()
    head.loss(hidden, left)[0].backward()
    assert hidden.grad is not None
    moved = hidden.grad.abs().sum(-1) > 0
    assert torch.equal(moved, left.isfinite())
    assert head.projection.weight.grad is not None
    assert head.projection.weight.grad.isfinite().all()


def test_without_a_middle_the_loss_is_zero_and_still_has_gradients() -> None:
    head, hidden, left = case()
    total, count = head.loss(hidden, torch.full_like(left, NAN))
    total.backward()
    assert (total.item(), count) == (0.0, 0)
    for tensor in (hidden, *head.parameters()):
        assert tensor.grad is not None
        assert not tensor.grad.any()


def test_it_starts_at_one_half() -> None:
    head = LengthHead(6)
    total, _ = head.loss(torch.randn(1, 2, 6), torch.tensor([[1.0, 0.25]]))
    assert total.item() == 0.75


def test_it_learns_what_is_linear() -> None:
    head, hidden = LengthHead(4), torch.eye(4)[None]
    left = torch.tensor([[1.0, 0.6, 0.3, 0.0]])
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.05, weight_decay=0.0)
    for _ in range(200):
        optimizer.zero_grad()
        head.loss(hidden, left)[0].backward()
        optimizer.step()
    assert head.loss(hidden, left)[0].item() < 0.1


def test_bfloat16_weights_give_a_float32_loss() -> None:
    head, hidden, left = case()
    exact = head.loss(hidden, left)[0].item()
    narrow = head.bfloat16().loss(hidden.bfloat16(), left)[0]
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.item(), exact, rtol=0.02, atol=0.02)
