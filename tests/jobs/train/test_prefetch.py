"""Batches prepared by a thread: in order, not too many ahead, and never in the way of an end."""

import threading
from collections.abc import Iterator

import pytest

from treespan.jobs.train import prefetch
from treespan.jobs.train.prefetch import Prefetcher

LONG_S = 20.0
"""Longer than anything here takes, shorter than a test may hang."""


def three(step: int) -> Iterator[tuple[int, int]]:
    for batch in range(3):
        yield step, batch


class Source:
    """Makes a batch for each permit, and tells when it is at work on one."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.made: list[tuple[int, int]] = []

    def __call__(self, step: int) -> Iterator[tuple[int, int]]:
        for batch in three(step):
            self.asked.release()
            assert self.permits.acquire(timeout=LONG_S)
            self.made.append(batch)
            yield batch

    def wait_until_asked(self, times: int) -> None:
        for _ in range(times):
            assert self.asked.acquire(timeout=LONG_S)


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("first_step", [0, 5])
def test_steps_come_in_order_from_the_first_one(first_step: int, depth: int) -> None:
    with Prefetcher(three, first_step, depth) as prefetcher:
        for step in range(first_step, first_step + 4):
            assert list(prefetcher.batches(step)) == list(three(step))
        with pytest.raises(ValueError, match="the next one is"):
            prefetcher.batches(first_step)


def test_a_rollback_begins_anew() -> None:
    for first_step in (0, 3, 1):
        with Prefetcher(three, first_step, 4) as prefetcher:
            assert list(prefetcher.batches(first_step)) == list(three(first_step))


def test_steps_without_batches_are_empty() -> None:
    with Prefetcher(lambda step: iter([step] * (step % 2)), 0, 2) as prefetcher:
        assert [list(prefetcher.batches(step)) for step in range(4)] == [[], [1], [], [3]]


def test_no_more_than_depth_wait_and_one_is_in_the_making() -> None:
    source = Source()
    source.permits.release(100)
    with Prefetcher(source, 0, 2) as prefetcher:
        source.wait_until_asked(3)
        batches = prefetcher.batches(0)
        assert next(batches) == (0, 0)
        source.wait_until_asked(1)
        # The fourth is being made; the fifth waits until another is taken.
        assert not source.asked.acquire(timeout=0.05)
        assert list(batches) == [(0, 1), (0, 2)]


def test_a_slow_source_is_waited_for_and_a_fast_one_is_not() -> None:
    source = Source()
    with Prefetcher(source, 0, 3) as prefetcher:
        source.wait_until_asked(1)
        threading.Timer(0.3, source.permits.release, [3]).start()
        assert len(list(prefetcher.batches(0))) == 3
        assert prefetcher.wait_seconds > 0
        source.permits.release(100)
        source.wait_until_asked(6)  # so that all of step 1 is there
        waited = prefetcher.wait_seconds
        assert len(list(prefetcher.batches(1))) == 3
        assert prefetcher.wait_seconds == waited


def test_an_error_reaches_the_consumer_after_what_came_before_it() -> None:
    def broken(step: int) -> Iterator[int]:
        yield step
        if step == 1:
            raise OSError("the store is away")
        yield step

    with Prefetcher(broken, 0, 9) as prefetcher:
        assert list(prefetcher.batches(0)) == [0, 0]
        batches = prefetcher.batches(1)
        assert next(batches) == 1
        with pytest.raises(OSError, match="the store is away"):
            next(batches)
        with pytest.raises(OSError, match="the store is away"):
            next(prefetcher.batches(2))


def test_what_was_not_taken_is_not_given_to_the_next_step() -> None:
    with Prefetcher(three, 0, 9) as prefetcher:
        next(prefetcher.batches(0))
        with pytest.raises(ValueError, match="step 0 were not taken"):
            next(prefetcher.batches(1))


def test_an_early_end_ends_the_thread() -> None:
    before = threading.active_count()
    prefetcher = Prefetcher(three, 0, 2)
    next(prefetcher.batches(0))
    prefetcher.close()
    prefetcher.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        next(prefetcher.batches(1))


def test_a_source_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "CLOSE_WAIT_S", 0.05)
    source = Source()
    prefetcher = Prefetcher(source, 0, 1)
    source.wait_until_asked(1)
    errors: list[BaseException] = []

    def consume() -> None:
        try:
            next(prefetcher.batches(0))
        except RuntimeError as error:
            errors.append(error)

    waiting = threading.Thread(target=consume)
    waiting.start()
    prefetcher.close()
    waiting.join(LONG_S)
    assert "closed" in str(errors[0])
    source.permits.release(100)


def test_depth_has_a_least() -> None:
    with pytest.raises(ValueError, match="no room"):
        Prefetcher(three, 0, 0)
