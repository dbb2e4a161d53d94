"""The chunked loss equals the plain one, gradients included."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from treespan.model.loss import IGNORED, token_losses


def random_case(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 11, 16, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(37, 16, generator=generator).to(dtype).requires_grad_()
    targets = torch.randint(0, 37, (2, 11), generator=generator)
    targets[0, 3] = targets[1, 10] = IGNORED
    upstream = torch.rand(2, 11, generator=generator)
    return hidden, weight, targets, upstream


def reference(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    logits = F.linear(hidden, weight).float()
    picked = logits.log_softmax(-1).gather(2, targets.clamp(min=0)[..., None]).squeeze(2)
    return torch.where(targets == IGNORED, 0.0, -picked)


@pytest.mark.parametrize("chunk_tokens", [1, 4, 21, 22, None])
def test_losses_and_gradients_equal_the_plain_ones(chunk_tokens: int | None) -> None:
    hidden, weight, targets, upstream = random_case()
    expected = reference(hidden, weight, targets)
    expected_grads = torch.autograd.grad((expected * upstream).sum(), (hidden, weight))

    losses = token_losses(hidden, weight, targets, chunk_tokens=chunk_tokens)
    grads = torch.autograd.grad((losses * upstream).sum(), (hidden, weight))

    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, expected)
    for actual, wanted in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(actual, wanted)


def test_bfloat16_gradients_are_as_good_as_plain_ones() -> None:
    hidden, weight, targets, upstream = random_case(torch.bfloat16)
    wide = [tensor.detach().float().requires_grad_() for tensor in (hidden, weight)]
    exact = torch.autograd.grad((reference(*wide, targets) * upstream).sum(), wide)
    for chunk_tokens in (3, None):
        losses = token_losses(hidden, weight, targets, chunk_tokens=chunk_tokens)
        grads = torch.autograd.grad((losses * upstream).sum(), (hidden, weight))
        for actual, wanted in zip(grads, exact, strict=True):
            assert actual.dtype == torch.bfloat16
            torch.testing.assert_close(actual.float(), wanted, atol=0.1, rtol=0.05)


def test_logits_are_never_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []
    plain = F.linear

    def watched(rows: Tensor, weight: Tensor) -> Tensor:
        widths.append(rows.shape[0])
        return plain(rows, weight)

    monkeypatch.setattr(F, "linear", watched)
    hidden, weight, targets, _ = random_case()
    token_losses(hidden, weight, targets, chunk_tokens=4).sum().backward()
    assert widths
    assert max(widths) == 4
