"""The rules on traces whose end is known: what must be caught, and what must be left alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from treespan.jobs.train.anomalies import SpikeRule
from treespan.jobs.train.config import AnomalyConfig
from treespan.jobs.train.step_record import StepRecord, Tally

RULE = SpikeRule(AnomalyConfig())
STEPS = 600
Trace = NDArray[np.float64]


def record(step: int, loss: float, skipped: str = "", targets: int = 100) -> StepRecord:
    return StepRecord(
        step=step,
        learning_rate=1e-3,
        gradient_norm=1.0,
        by_objective={"ntp": Tally(loss * targets, targets)},
        by_language={},
        by_strategy={},
        skipped=skipped,
    )


def records(losses: Sequence[float] | Trace) -> list[StepRecord]:
    return [record(step, float(loss)) for step, loss in enumerate(losses)]


def first_roll_back(losses: Sequence[float] | Trace, rule: SpikeRule = RULE) -> int | None:
    """The step after which training goes back for the first time."""
    history = records(losses)
    after = (n for n in range(1, len(history) + 1) if rule.roll_back(history[max(0, n - 132) : n]))
    return next((n - 1 for n in after), None)


def falling(seed: int = 0, noise: float = 0.08) -> Trace:
    steps = np.arange(STEPS)
    return 3 + 6 * (1 + steps / 20) ** -0.5 + np.random.default_rng(seed).normal(0, noise, STEPS)


def spike(height: float, length: int, at: int = 400) -> Callable[[Trace], Trace]:
    def change(losses: Trace) -> Trace:
        losses[at : at + length] += height
        return losses

    return change


def two_spikes(losses: Trace) -> Trace:
    return spike(3.0, 4, at=430)(spike(5.0, 2, at=400)(losses))


def rise(per_step: float) -> Callable[[Trace], Trace]:
    def change(losses: Trace) -> Trace:
        losses[300:] += per_step * np.arange(STEPS - 300)
        return losses

    return change


@pytest.mark.parametrize(
    ("change", "found_after"),
    [
        (lambda losses: losses, None),
        (spike(3.0, 1), None),
        (spike(3.0, 3), None),
        (spike(3.0, 4), 403),
        (spike(1.5, 50), 403),
        (spike(3.0, STEPS), 403),
        (spike(20.0, 50, at=36), 39),
        (two_spikes, 433),
        (spike(-1.0, 50), None),
        (spike(0.3, 50), None),
        (rise(0.001), None),
        (rise(0.1), 320),
    ],
    ids=[
        "quiet",
        "one step",
        "three steps",
        "four steps",
        "long and low",
        "a step that stays",
        "early",
        "after another spike",
        "a step down",
        "within the noise",
        "slow rise",
        "fast rise",
    ],
)
def test_traces(change: Callable[[Trace], Trace], found_after: int | None) -> None:
    assert first_roll_back(change(falling())) == found_after


@given(st.integers(0, 2**32 - 1), st.sampled_from(["normal", "laplace", "t3"]), st.floats(0.0, 0.5))
@settings(max_examples=6, deadline=None)
def test_noise_is_no_spike(seed: int, kind: str, noise: float) -> None:
    rng = np.random.default_rng(seed)
    draws = {
        "normal": rng.normal(size=STEPS),
        "laplace": rng.laplace(size=STEPS),
        "t3": rng.standard_t(3, size=STEPS),
    }
    assert first_roll_back(falling(seed, 0.0) + noise * draws[kind]) is None


def test_left_out_updates_and_spikes_count_together() -> None:
    history = records(falling()[:200])
    for step, (loss, skipped) in enumerate([(9.0, ""), (4.0, "x"), (9.0, ""), (math.nan, "x")]):
        assert not RULE.roll_back(history)
        history.append(record(200 + step, loss, skipped))
    assert RULE.roll_back(history)
    assert not RULE.roll_back([*history, record(204, 3.5)])


def test_losses_that_are_not_finite_need_nothing_to_compare_with() -> None:
    assert first_roll_back([8.0, math.nan, math.nan, math.inf, math.nan, 7.0]) == 4
    assert first_roll_back([8.0, *[50.0] * 20]) is None


def test_steps_without_targets_are_no_spikes() -> None:
    history = [record(step, 0.0, targets=0) for step in range(50)]
    assert not RULE.roll_back(history)


def test_a_flat_loss_has_room_to_move() -> None:
    assert first_roll_back([2.0] * 100 + [2.05] * 10) is None
    assert first_roll_back([2.0] * 100 + [2.1] * 10) == 103


@given(
    st.lists(st.floats(0.01, 1e4), max_size=300),
    st.one_of(st.floats(0, 1e7), st.sampled_from([math.nan, math.inf, -1.0])),
)
def test_an_update_is_left_out_by_the_rule_as_it_is_written(
    norms: list[float], norm: float
) -> None:
    window = norms[-128:]
    if not math.isfinite(norm) or norm < 0:
        expected = True
    else:
        expected = len(window) >= 32 and norm > 20 * float(np.median(window))
    assert bool(RULE.skip(norm, norms)) == expected


def test_norms_that_are_not_finite_do_not_count_as_history() -> None:
    norms = [1.0] * 40 + [math.inf, math.nan, -1.0] * 100
    assert RULE.skip(19.0, norms) == ""
    assert RULE.skip(21.0, norms) == "the gradient norm 21 is over 20 x 1"
    assert RULE.skip(21.0, norms[40:]) == ""
    assert RULE.skip(math.nan, []) == "the gradient is not finite"


def test_a_level_that_has_risen_for_good_is_accepted() -> None:
    norms = [1.0] * 128
    left_out = 0
    while RULE.skip(30.0, norms):
        norms.append(30.0)
        left_out += 1
    assert left_out == 64


@given(st.integers(40, STEPS))
@settings(max_examples=30)
def test_only_the_last_records_decide(length: int) -> None:
    history = records(spike(3.0, 50)(falling()))[:length]
    assert RULE.roll_back(history) == RULE.roll_back(history[-132:])
