"""Batches of coming steps, prepared by a thread while the model computes.

The thread reads memory-mapped pages, copies them with numpy and makes tensors, all of which let
other threads run. It only goes ahead: which rows a batch has is decided by its step alone, so what
was prepared and never used (at the end, on an error, on a rollback) changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

CLOSE_WAIT_S = 10.0
"""How long ``close`` waits for the batch that is being made (ours): a store may be away for minutes."""

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Prepares what ``make_batches`` gives for ``first_step`` and all steps after it, in order.

    At most ``depth`` batches wait, and one more is being made. Raises ``ValueError`` for a ``depth``
    below 1.
    """

    def __init__(
        self, make_batches: Callable[[int], Iterator[T]], first_step: int, depth: int
    ) -> None:
        if depth < 1:
            raise ValueError(f"a depth of {depth} leaves no room for a batch")
        self.next_step = first_step
        """The step whose batches ``batches`` gives next."""
        self.wait_seconds = 0.0
        """How long ``batches`` has waited for the thread, in all."""
        self._make_batches = make_batches
        self._depth = depth
        self._ready: deque[tuple[int, T]] = deque()
        self._done = first_step  # steps below have no further batches
        self._error: BaseException | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Prefetcher[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def batches(self, step: int) -> Iterator[T]:
        """The batches of ``step``, as soon as they are ready; steps must be asked for in order.

        Raises what ``make_batches`` raised, once all batches before are taken; ``ValueError`` for
        any step but the next; ``RuntimeError`` after ``close``.
        """
        if step != self.next_step:
            raise ValueError(f"step {step} was asked for, the next one is {self.next_step}")
        self.next_step += 1
        return self._batches(step)

    def close(self) -> None:
        """Stop preparing; whoever waits is let go. Does not wait long for a source that hangs."""
        with self._changed:
            self._is_closed = True
            self._ready.clear()
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_WAIT_S)

    def _batches(self, step: int) -> Iterator[T]:
        def is_settled() -> bool:
            has_more = bool(self._ready) or self._done > step
            return has_more or self._error is not None or self._is_closed

        while True:
            with self._changed:
                if not is_settled():
                    started = time.perf_counter()
                    self._changed.wait_for(is_settled)
                    self.wait_seconds += time.perf_counter() - started
                if self._is_closed:
                    raise RuntimeError("the prefetcher is closed")
                if self._ready and self._ready[0][0] < step:
                    raise ValueError(f"batches of step {self._ready[0][0]} were not taken")
                if self._ready and self._ready[0][0] == step:
                    _, batch = self._ready.popleft()
                    self._changed.notify_all()
                elif self._done > step:
                    return
                else:
                    assert self._error is not None
                    raise self._error
            yield batch

    def _work(self) -> None:
        step = self._done
        try:
            while not self._is_closed:
                for batch in self._make_batches(step):
                    with self._changed:
                        self._changed.wait_for(
                            lambda: len(self._ready) < self._depth or self._is_closed
                        )
                        if self._is_closed:
                            return
                        self._ready.append((step, batch))
                        self._changed.notify_all()
                step += 1
                with self._changed:
                    self._done = step
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - whoever takes the batches is to meet it
            with self._changed:
                self._error = error
                self._changed.notify_all()
