"""Histograms of lengths by powers of two, as steps count them: ``{"5": 12}`` says that 12 are of 32 to
63 bytes; ``"-1"`` are those of no length.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Histogram = Mapping[str, int]


def buckets_of(histograms: Iterable[Histogram]) -> range:
    """From the least to the greatest bucket that any of them has; empty where all are empty."""
    numbers = [int(name) for histogram in histograms for name, count in histogram.items() if count]
    return range(min(numbers), max(numbers) + 1) if numbers else range(0)


def shares_of(histogram: Histogram, buckets: range) -> list[float]:
    """The share of the lengths that lies in each of ``buckets``."""
    total = sum(histogram.values())
    return [histogram.get(str(bucket), 0) / total if total else 0.0 for bucket in buckets]


def median_of(histogram: Histogram) -> float:
    """The median, as if the lengths of a bucket were spread evenly on the logarithmic scale.

    Raises ``ValueError`` for a histogram of nothing.
    """
    half = sum(histogram.values()) / 2
    below = 0
    for bucket in buckets_of([histogram]):
        count = histogram.get(str(bucket), 0)
        if count and below + count >= half:
            return 0.0 if bucket < 0 else float(2 ** (bucket + (half - below) / count))
        below += count
    raise ValueError("a histogram of nothing has no median")


def least_of(bucket: int) -> int:
    """The least length of ``bucket``."""
    return 0 if bucket < 0 else 2**bucket
