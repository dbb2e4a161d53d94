"""Histograms by powers of two: nothing lost at the ends, medians within their bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.platform.bars import bar, columns
from treespan.platform.length_histogram import buckets_of, least_of, median_of, shares_of


@given(st.lists(st.integers(0, 5000), min_size=1))
def test_the_median_is_in_the_bucket_of_the_true_one(lengths: list[int]) -> None:
    histogram: dict[str, int] = {}
    for length in lengths:
        name = str(length.bit_length() - 1)
        histogram[name] = histogram.get(name, 0) + 1
    buckets = buckets_of([histogram])
    assert sum(shares_of(histogram, buckets)) == pytest.approx(1)
    true = sorted(lengths)[(len(lengths) - 1) // 2]
    least = least_of(true.bit_length() - 1)
    assert least <= median_of(histogram) <= 2 * least


def test_a_histogram_of_nothing() -> None:
    assert list(buckets_of([{}, {"3": 0}])) == []
    with pytest.raises(ValueError, match="no median"):
        median_of({})


def test_bars_show_even_a_little() -> None:
    assert bar(0, 8) == ""
    assert bar(1, 8) == "█" * 8
    assert bar(0.5, 8) == "█" * 4
    assert len(bar(1e-6, 8)) == 1
    assert columns([0, 1, 100, 50]) == " ▁█▄"
    assert columns([]) == ""
