"""Which row is read when: a pure function, the same for any number of workers."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.train.config import OptimizerConfig
from treespan.jobs.train.row_order import RowOrder
from treespan.jobs.train.schedule import learning_rate


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(0, 3))
def test_every_epoch_reads_every_row_once(sizes: list[int], seed: int) -> None:
    order = RowOrder(seed, sizes, 4)
    read = [order.row_at(position) for position in range(2 * sum(sizes))]
    everything = {(epoch, row) for epoch, size in enumerate(sizes) for row in range(size)}
    assert set(read[: sum(sizes)]) == everything
    assert set(read[sum(sizes) :]) == everything


@pytest.mark.parametrize("world", [1, 2, 3, 4, 6, 12])
def test_workers_share_the_rows_of_a_step(world: int) -> None:
    order = RowOrder(0, [50], 12)
    for step in (0, 3, 7):
        shares = [order.rows_of_rank(step, rank, world) for rank in range(world)]
        assert [row for share in shares for row in share] == order.rows_of_step(step)


def test_rounds_are_read_in_different_orders() -> None:
    order = RowOrder(0, [100], 10)
    first, second = ([order.row_at(r * 100 + i) for i in range(100)] for r in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second)


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="needs a row"):
        RowOrder(0, [3, 0], 1)


def test_learning_rate() -> None:
    config = OptimizerConfig(learning_rate=1.0, warmup_steps=10, min_learning_rate_share=0.1)
    rates = [learning_rate(step, 110, config) for step in range(111)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[10] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
