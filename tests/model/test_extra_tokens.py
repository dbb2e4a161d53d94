"""Further tokens against a loop over positions; documents are never crossed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from treespan.model.config import ModelConfig
from treespan.model.extra_tokens import ExtraTokens, targets_ahead
from treespan.model.loss import IGNORED, token_losses

VOCAB, SIZE, TOKENS = 19, 6, 12
CONFIG = ModelConfig(
    vocab_size=VOCAB,
    hidden_size=SIZE,
    intermediate_size=8,
    num_layers=1,
    num_heads=1,
    num_kv_heads=1,
    max_positions=TOKENS,
)


def case(ahead: int) -> tuple[ExtraTokens, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    heads = ExtraTokens(CONFIG, ahead)
    with torch.no_grad():
        for weight in heads.parameters():
            weight.normal_(0, 0.3, generator=generator)
    hidden = torch.randn(2, TOKENS, SIZE, generator=generator).requires_grad_()
    weight = torch.randn(VOCAB, SIZE, generator=generator).requires_grad_()
    tokens = torch.randint(0, VOCAB, (2, TOKENS), generator=generator)
    documents = torch.tensor([[0] * 5 + [1] * 1 + [2] * 6, [0] * 9 + [1] * 3])
    targets = torch.full_like(tokens, IGNORED)
    same = documents[:, 1:] == documents[:, :-1]
    targets[:, :-1] = torch.where(same, tokens[:, 1:], IGNORED)
    targets[0, 2] = targets[1, 4] = IGNORED  # inside of a document: padding, or a header
    return heads, hidden, weight, targets, documents


def naive(
    heads: ExtraTokens, hidden: Tensor, weight: Tensor, targets: Tensor, documents: Tensor
) -> tuple[Tensor, int]:
    losses = []
    for row in range(2):
        for place in range(TOKENS):
            for ahead, head in enumerate(heads.parameters(), start=1):
                there = place + ahead
                if there >= TOKENS or documents[row, there] != documents[row, place]:
                    continue
                if targets[row, there] == IGNORED:
                    continue
                state = hidden[row, place] + head @ hidden[row, place]
                losses.append(F.cross_entropy(weight @ state, targets[row, there]))
    return torch.stack(losses).sum(), len(losses)


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_loss_and_gradients_are_those_of_a_loop(ahead: int) -> None:
    heads, hidden, weight, targets, documents = case(ahead)
    expected, count = naive(heads, hidden, weight, targets, documents)
    total, found = heads.loss(hidden, weight, targets, documents)
    assert found == count
    torch.testing.assert_close(total, expected)
    inputs = (hidden, weight, *heads.parameters())
    for actual, wanted in zip(
        torch.autograd.grad(total, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(actual, wanted)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    st.integers(1, 7),
)
def test_targets_are_never_those_of_another_document(lengths: list[int], ahead: int) -> None:
    documents = torch.tensor([[i for i, length in enumerate(lengths) for _ in range(length)]])
    places = torch.arange(documents.shape[1])[None]
    targets = places + 1
    targets[:, :-1][documents[:, 1:] != documents[:, :-1]] = IGNORED
    targets[:, -1] = IGNORED
    found = targets_ahead(targets, documents, ahead)
    start = 0
    for length in lengths:
        for place in range(length):
            wanted = start + place + 1 + ahead if place + 1 + ahead < length else IGNORED
            assert found[0, start + place] == wanted
        start += length


def test_it_starts_as_the_head_of_the_next_token() -> None:
    heads = ExtraTokens(CONFIG, 1)
    _, hidden, weight, targets, documents = case(1)
    wanted = targets_ahead(targets, documents, 1)
    total, _ = heads.loss(hidden, weight, targets, documents)
    assert torch.equal(total, token_losses(hidden, weight, wanted).sum())


def test_without_a_target_the_loss_is_zero_and_still_has_gradients() -> None:
    heads, hidden, weight, targets, documents = case(3)
    total, count = heads.loss(hidden, weight, torch.full_like(targets, IGNORED), documents)
    total.backward()
    assert (total.item(), count) == (0.0, 0)
    for tensor in (hidden, weight, *heads.parameters()):
        assert tensor.grad is not None
        assert not tensor.grad.any()
