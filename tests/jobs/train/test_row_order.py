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


@given(st.integers(1, 20), st.integers(1, 24), st.integers(0, 9))
def test_any_number_of_parts_reads_the_same_rows_in_the_same_order(
    global_batch: int, parts: int, step: int
) -> None:
    order = RowOrder(0, [30, 17], global_batch, [(2, 5)])
    shares = [order.rows_of_rank(step, part, parts) for part in range(parts)]
    (alone,) = [order.rows_of_rank(step, 0, 1)]
    assert [row for share in shares for row in share if row is not None] == alone
    assert len(alone) == global_batch
    assert {len(share) for share in shares} == {-(-global_batch // parts)}


skips = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 6)), max_size=3)


@given(skips, st.integers(1, 5), st.integers(1, 4))
def test_skips_shift_what_comes_after(
    skips: list[tuple[int, int]], global_batch: int, parts: int
) -> None:
    order = RowOrder(1, [200], global_batch, skips)
    positions = iter(range(200))
    for step in range(9):
        for from_step, rows in skips:
            if from_step == step:
                list(itertools.islice(positions, rows))
        wanted = [order.row_at(position) for position in itertools.islice(positions, global_batch)]
        shares = [order.rows_of_rank(step, part, parts) for part in range(parts)]
        assert [row for share in shares for row in share if row is not None] == wanted


@given(skips, st.integers(1, 6), st.integers(1, 5))
def test_nothing_is_read_twice_within_an_epoch(
    skips: list[tuple[int, int]], global_batch: int, parts: int
) -> None:
    order = RowOrder(2, [60, 41], global_batch, skips)
    read = [
        row
        for step in range((101 - sum(rows for _, rows in skips)) // global_batch)
        for part in range(parts)
        for row in order.rows_of_rank(step, part, parts)
        if row is not None
    ]
    assert len(set(read)) == len(read) > 60


def test_a_rollback_never_meets_the_skipped_rows_again() -> None:
    """Steps 4 to 6 went wrong; training goes back to 4 and on with what came after 6."""
    before, after = RowOrder(0, [100], 4), RowOrder(0, [100], 4, [(4, 12)])
    assert after.rows_of_rank(3, 0, 1) == before.rows_of_rank(3, 0, 1)
    assert after.rows_of_rank(4, 0, 1) == before.rows_of_rank(7, 0, 1)
    with pytest.raises(ValueError, match="not taken back"):
        RowOrder(0, [100], 4, [(4, -1)])


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
