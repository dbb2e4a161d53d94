"""Random choices as pure functions: fixed forever, uniform, and independent of order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from treespan.platform.draws import generator, hash64, partition_of, permutation, uniform


def test_values_are_fixed_forever() -> None:
    """A change here would silently change every corpus; it needs new step versions."""
    assert hash64("a", 1) == 0xA0A48691309C5CE9
    assert permutation(6, 0, "rows", 0).tolist() == [1, 3, 2, 4, 5, 0]
    assert [partition_of(repo, 8) for repo in ("a", "b", "c")] == [5, 2, 1]


def test_boundaries_count() -> None:
    assert hash64("ab", "c") != hash64("a", "bc")


@given(st.integers(0, 300), st.integers(0, 5))
def test_permutation_is_one(size: int, seed: int) -> None:
    assert sorted(permutation(size, seed, "x").tolist()) == list(range(size))


def test_uniform_is_uniform() -> None:
    draws = np.array([uniform(0, "u", key) for key in range(4000)])
    histogram, _ = np.histogram(draws, bins=10, range=(0, 1))
    assert draws.min() >= 0
    assert draws.max() < 1
    assert histogram.min() > 330
    assert histogram.max() < 470


def test_permutations_of_epochs_differ_and_mix() -> None:
    first, second = permutation(1000, 0, "rows", 0), permutation(1000, 0, "rows", 1)
    assert (first == second).mean() < 0.02
    assert abs(np.corrcoef(first, np.arange(1000))[0, 1]) < 0.1


def test_generators_of_equal_keys_agree() -> None:
    assert generator(1, "k").random() == generator(1, "k").random()
    assert generator(1, "k").random() != generator(2, "k").random()
