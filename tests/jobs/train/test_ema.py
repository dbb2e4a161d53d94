"""The running mean equals the weighted sum that it stands for, and goes on from its state."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from treespan.jobs.train.ema import Ema


def weights(step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {name: torch.randn(shape, generator=generator) for name, shape in (("a", 5), ("b", 3))}


@given(st.floats(0.01, 0.99999), st.integers(1, 40))
def test_the_mean_is_the_weighted_sum(decay: float, steps: int) -> None:
    ema = Ema(decay)
    for step in range(steps):
        ema.update(weights(step))
    shares = decay ** np.arange(steps - 1, -1, -1, dtype=np.float64)
    shares /= shares.sum()
    for name in ("a", "b"):
        rows = np.stack([weights(step)[name].double().numpy() for step in range(steps)])
        np.testing.assert_allclose(ema.mean[name].numpy(), shares @ rows, atol=2e-6)


def test_the_first_update_is_the_weights_and_equal_weights_stay() -> None:
    ema = Ema(0.999)
    for _ in range(50):
        ema.update(weights(0))
        assert all(torch.equal(ema.mean[name], part) for name, part in weights(0).items())


def test_updates_write_to_the_same_memory_and_never_to_the_weights() -> None:
    ema, given_weights = Ema(0.9), weights(0)
    ema.update(given_weights)
    place = ema.mean["a"].data_ptr()
    ema.update(weights(1))
    assert ema.mean["a"].data_ptr() == place
    assert all(torch.equal(given_weights[name], part) for name, part in weights(0).items())


def test_a_resumed_mean_is_the_same_bit_for_bit() -> None:
    whole, first, second = Ema(0.98), Ema(0.98), Ema(0.98)
    for step in range(10):
        whole.update(weights(step))
        if step < 4:
            first.update(weights(step))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for step in range(4, 10):
        second.update(weights(step))
    assert second.updates == whole.updates
    assert all(torch.equal(second.mean[name], part) for name, part in whole.mean.items())


def test_parts_are_averaged_as_the_whole_is() -> None:
    whole, parts = Ema(0.9), Ema(0.9)
    for step in range(5):
        tensor = weights(step)["a"]
        whole.update({"a": tensor})
        parts.update({"left": tensor[:2], "right": tensor[2:]})
    assert torch.equal(torch.cat([parts.mean["left"], parts.mean["right"]]), whole.mean["a"])


def test_what_cannot_be_averaged_is_refused() -> None:
    ema = Ema(0.9)
    with pytest.raises(ValueError, match="b is not float32"):
        ema.update({"a": torch.zeros(2), "b": torch.zeros(2, dtype=torch.bfloat16)})
    ema.update(weights(0))
    with pytest.raises(ValueError, match="other fragments than before"):
        ema.update({"a": weights(1)["a"]})
    with pytest.raises(ValueError, match="not between 0 and 1"):
        Ema(1.0)
