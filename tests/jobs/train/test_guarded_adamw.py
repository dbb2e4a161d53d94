"""An update that is vetoed leaves no trace; every other is AdamW's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from treespan.jobs.train.guarded_adamw import GuardedAdamW

WAYS = ({"fused": True}, {"foreach": True}, {"foreach": False})


def weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 3), (7,))]


def set_gradients(parameters: list[nn.Parameter], step: int, value: float | None = None) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        if value is not None:
            parameter.grad.view(-1)[0] = value


def everything(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> list[Tensor]:
    moments = [value for state in optimizer.state.values() for value in state.values()]
    return [tensor.detach().clone() for tensor in (*parameters, *moments)]


def train(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], steps: list[int]
) -> None:
    for step in steps:
        set_gradients(parameters, step)
        optimizer.step()


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("with_veto", [False, True])
def test_an_update_without_a_veto_is_that_of_adamw(way: dict[str, Any], with_veto: bool) -> None:
    ours, theirs = weights(), weights()
    guarded = GuardedAdamW(ours, lr=0.1, weight_decay=0.1, **way)
    if with_veto:
        guarded.veto = lambda: False
    plain = torch.optim.AdamW(theirs, lr=0.1, weight_decay=0.1, **way)
    train(guarded, ours, [1, 2, 3])
    train(plain, theirs, [1, 2, 3])
    for a, b in zip(everything(guarded, ours), everything(plain, theirs), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_vetoed_update_leaves_no_trace(way: dict[str, Any], value: float | None) -> None:
    parameters = weights()
    optimizer = GuardedAdamW(parameters, lr=0.1, weight_decay=0.1, **way)
    train(optimizer, parameters, [1, 2])
    before = everything(optimizer, parameters)
    optimizer.veto = lambda: True
    set_gradients(parameters, 3, value)
    optimizer.step()
    for a, b in zip(everything(optimizer, parameters), before, strict=True):
        assert torch.equal(a, b)

    optimizer.veto = None
    train(optimizer, parameters, [4])
    never_bad = weights()
    reference = torch.optim.AdamW(never_bad, lr=0.1, weight_decay=0.1, **way)
    train(reference, never_bad, [1, 2, 4])
    for a, b in zip(
        everything(optimizer, parameters), everything(reference, never_bad), strict=True
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_veto_of_the_first_update_creates_moments_of_zero(way: dict[str, Any]) -> None:
    parameters = weights()
    optimizer = GuardedAdamW(parameters, lr=0.1, **way)
    optimizer.veto = lambda: True
    set_gradients(parameters, 1, float("nan"))
    optimizer.step()
    for parameter in parameters:
        state = optimizer.state[parameter]
        assert state["step"] == 0
        assert not state["exp_avg"].any()
        assert not state["exp_avg_sq"].any()


def test_a_veto_is_asked_at_every_step() -> None:
    parameters, asked = weights(), []
    optimizer = GuardedAdamW(parameters, lr=0.1)
    optimizer.veto = lambda: bool(asked.append(len(asked)) or len(asked) == 2)
    before = [parameter.detach().clone() for parameter in parameters]
    train(optimizer, parameters, [1])
    after_one = [parameter.detach().clone() for parameter in parameters]
    assert not torch.equal(before[0], after_one[0])
    train(optimizer, parameters, [2])
    assert torch.equal(parameters[0], after_one[0])
    assert asked == [0, 1]
