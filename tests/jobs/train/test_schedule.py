"""The learning rate: its ends, its bounds, no jumps, and that none of it depends on a state."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.train.config import OptimizerConfig
from treespan.jobs.train.schedule import learning_rate

SCHEDULES = ("cosine", "wsd", "constant")


@st.composite
def runs(draw: st.DrawFn) -> tuple[OptimizerConfig, int]:
    steps = draw(st.integers(2, 3000))
    config = OptimizerConfig(
        learning_rate=draw(st.floats(1e-6, 1.0)),
        schedule=draw(st.sampled_from(SCHEDULES)),
        min_learning_rate_share=draw(st.floats(0, 1)),
        warmup_steps=draw(st.integers(0, steps)),
        decay_share=draw(st.floats(0, 1)),
    )
    return config, steps


def rates(config: OptimizerConfig, steps: int) -> list[float]:
    return [learning_rate(step, steps, config) for step in range(steps + 1)]


@given(runs())
def test_a_rate_rises_to_the_peak_and_never_leaves_its_bounds(
    run: tuple[OptimizerConfig, int],
) -> None:
    config, steps = run
    found, peak = rates(config, steps), config.learning_rate
    warm = config.warmup_steps
    assert found[:warm] == sorted(found[:warm])
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in found[:warm])
    floor = config.min_learning_rate_share * peak
    assert all(floor * (1 - 1e-9) <= rate <= peak * (1 + 1e-9) for rate in found[warm:])
    assert all(a >= b * (1 - 1e-12) for a, b in pairwise(found[warm:]))


@given(runs())
def test_no_step_is_further_from_the_last_than_the_shape_allows(
    run: tuple[OptimizerConfig, int],
) -> None:
    config, steps = run
    found, warm = rates(config, steps), config.warmup_steps
    decay = round(config.decay_share * steps)
    steepest = {
        "cosine": math.pi / 2 / max(1, steps - warm),
        "wsd": 1 / max(1, min(decay, steps - warm)),
        "constant": 0.0,
    }[config.schedule]
    allowed = max(steepest, 1 / max(1, warm) if warm else 0.0) * config.learning_rate
    jumps = [abs(b - a) for a, b in pairwise(found)]
    assert max(jumps) <= allowed * (1 + 1e-9) + 1e-15


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_ends_at_its_share(schedule: str) -> None:
    config = OptimizerConfig.model_validate(
        {"schedule": schedule, "warmup_steps": 10, "min_learning_rate_share": 0.2}
    )
    share = 1.0 if schedule == "constant" else 0.2
    assert learning_rate(100, 100, config) == pytest.approx(share * config.learning_rate)
    assert learning_rate(500, 100, config) == learning_rate(100, 100, config)


def test_cosine_is_what_it_was() -> None:
    config = OptimizerConfig(learning_rate=2.0, warmup_steps=4, min_learning_rate_share=0.1)
    found = [learning_rate(step, 12, config) for step in (0, 1, 3, 4, 6, 8, 10, 12)]
    assert found == [
        0.5,
        1.0,
        2.0,
        2.0,
        1.7363961030678927,
        1.1,
        0.4636038969321073,
        0.2,
    ]


def test_wsd_holds_the_peak_whatever_comes_later() -> None:
    config = OptimizerConfig(schedule="wsd", warmup_steps=10, decay_share=0.2)
    short, long = rates(config, 100), rates(config, 1000)
    assert short[:80] == long[:80]
    assert short[10:81] == [config.learning_rate] * 71
    assert short[90] == pytest.approx(config.learning_rate * 0.55)


def test_wsd_without_a_decay_is_constant() -> None:
    flat = OptimizerConfig(schedule="wsd", decay_share=0, warmup_steps=5)
    constant = OptimizerConfig(schedule="constant", warmup_steps=5)
    assert rates(flat, 50)[:50] == rates(constant, 50)[:50]
