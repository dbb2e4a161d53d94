"""Plots of packing: shares of objectives, what was masked, lengths of holes, fill, tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullLocator

from treespan.jobs.report.plot_style import INK, STYLE, svg
from treespan.platform.length_histogram import (
    Histogram,
    buckets_of,
    least_of,
    median_of,
    shares_of,
)

_BAR, _SECOND = "#0b7285", "#e8a33d"
_LINES = ("#0b7285", "#e8a33d", "#7048e8", "#2f9e44", "#e03131", "#f06595", "#868e96")
"""One for each objective that masks."""


def share_bars(names: Sequence[str], shares: Mapping[str, Sequence[float]]) -> str:
    """Shares by name, a bar each for all that they are shares of: ``shares[of what][name]``."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.55 * len(names) + 0.9))
        height = 0.8 / len(shares)
        for place, (what, values) in enumerate(shares.items()):
            at = [row + (place - (len(shares) - 1) / 2) * height for row in range(len(names))]
            colour = (_BAR, _SECOND)[place % 2]
            bars = axes.barh(
                at, [100 * value for value in values], height, color=colour, label=what
            )
            axes.bar_label(bars, fmt="{:.1f} %", padding=4, fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("share, %")
        axes.margins(x=0.12)
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
        return svg(figure)


def ranking_plot(bars: Sequence[tuple[str, float]], label: str, shown: str = "{:,.0f}") -> str:
    """A bar for each name, in the order given."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.26 * len(bars) + 0.8))
        drawn = axes.barh(range(len(bars)), [value for _, value in bars], color=_BAR)
        axes.bar_label(drawn, fmt=shown, padding=4, fontsize=9)
        axes.set_yticks(range(len(bars)), [name for name, _ in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlabel(label)
        axes.margins(x=0.12)
        return svg(figure)


def length_plot(middles: Mapping[str, Histogram], uniform: Histogram) -> str:
    """How long the middles are, by objective, with medians; ``uniform`` (or nothing) as an area.

    Empty middles stand in a column of their own at the left.
    """
    buckets = buckets_of([*middles.values(), uniform])
    edges = [*buckets, buckets[-1] + 1]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.6))
        if uniform:
            shares = [100 * share for share in shares_of(uniform, buckets)]
            axes.stairs(shares, edges, fill=True, color="#e9ecef")
            said = f"structured, nodes drawn uniformly, median {median_of(uniform):,.0f}"
            axes.stairs(shares, edges, color="#868e96", linestyle=(0, (3, 2)), label=said)
        for (name, histogram), colour in zip(middles.items(), _LINES, strict=False):
            shares = [100 * share for share in shares_of(histogram, buckets)]
            median = median_of(histogram)
            label = f"{name}, median {median:,.0f}"
            axes.stairs(shares, edges, color=colour, linewidth=1.8, label=label)
        axes.set_xlabel("bytes of the middle")
        axes.set_ylabel("share, %")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{least_of(round(at)):,}"))
        step = 1 if len(edges) < 12 else 2
        axes.set_xticks(edges[::step])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
        return svg(figure)


def fill_plot(row_fill: Mapping[str, int]) -> str:
    """How many rows are so full; the scale of rows is logarithmic, since nearly all are full."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 2.6))
        fills = sorted(int(fill) for fill in row_fill)
        rows = [row_fill[str(fill)] for fill in fills]
        axes.bar(fills, rows, width=0.9, color=_BAR, edgecolor=INK, linewidth=0)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_ylim(bottom=0.7)
        axes.set_xlim(min(fills[0], 90) - 1, 101)
        axes.set_xlabel("tokens of a row that are no padding, %")
        axes.set_ylabel("rows")
        return svg(figure)
