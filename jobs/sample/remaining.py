"""The files that no block has taken yet, in the order of folders, with draws in logarithmic time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random


class Remaining:
    """A shrinking set of the numbers below ``size``.

    A Fenwick tree over the numbers counts and finds those left in any range, so that a repository
    of any size is ordered in near-linear time.
    """

    def __init__(self, size: int, members: Iterable[int]) -> None:
        self._is_left = bytearray(size)
        self._left = 0
        self._tree = [0] * (size + 1)
        for index in members:
            self._left += 1 - self._is_left[index]
            self._is_left[index] = 1
        for place in range(1, size + 1):
            self._tree[place] += self._is_left[place - 1]
            above = place + (place & -place)
            if above <= size:
                self._tree[above] += self._tree[place]
        self._top = 1 << size.bit_length() >> 1

    def __len__(self) -> int:
        return self._left

    def __contains__(self, index: int) -> bool:
        return 0 <= index < len(self._is_left) and bool(self._is_left[index])

    def __iter__(self) -> Iterator[int]:
        """Ascending."""
        return (index for index, left in enumerate(self._is_left) if left)

    def remove(self, index: int) -> None:
        """Take out ``index``, which must be left."""
        self._is_left[index] = 0
        self._left -= 1
        place = index + 1
        while place < len(self._tree):
            self._tree[place] -= 1
            place += place & -place

    def below(self, end: int) -> int:
        """How many are left below ``end``."""
        found = 0
        while end:
            found += self._tree[end]
            end &= end - 1
        return found

    def at(self, rank: int) -> int:
        """The one that has ``rank`` others left below it."""
        place, step = 0, self._top
        while step:
            if place + step < len(self._tree) and self._tree[place + step] <= rank:
                place += step
                rank -= self._tree[place]
            step >>= 1
        return place

    def draw(self, rng: Random) -> int:
        """Any of them."""
        return self.at(rng.randrange(self._left))

    def draw_around(self, outer: range, inner: range, most: int, rng: Random) -> list[int]:
        """At most ``most`` of those in ``outer`` and not in ``inner``, which lies within, shuffled."""
        first = self.below(outer.start)
        before = self.below(inner.start) - first
        skipped = self.below(inner.stop) - self.below(inner.start)
        total = self.below(outer.stop) - first - skipped
        ranks = rng.sample(range(total), min(most, total))
        return [self.at(first + rank + (skipped if rank >= before else 0)) for rank in ranks]
