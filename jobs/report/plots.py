"""Plots as inline SVG, one function each, with the same look. Equal data gives equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch

from treespan.jobs.report.plot_style import INK, STYLE, svg

_COLOURS = {"trained": "#0b7285", "untrained": "#adb5bd", "unigram": "#e8a33d"}
_SHADES = ("#495057", "#74b8c4", "#0b7285", "#e8a33d")
"""All files, and what is left within each step that drops some."""
_SERIES = ("#0b7285", "#74b8c4", "#e8a33d", "#adb5bd", "#495057", "#d9480f")
_MAP = LinearSegmentedColormap.from_list("treespan", ["#f1f3f5", "#74b8c4", "#0b7285"])


def funnel_plot(before: int, stages: Sequence[tuple[str, str, int]]) -> str:
    """Files that are left after each (step, rule, files left), from ``before`` on."""
    names = ["all files", *(f"after {rule}" for _, rule, _ in stages)]
    left = [before, *(count for _, _, count in stages)]
    steps = ["", *(step for step, _, _ in stages)]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.3 * len(names) + 0.8))
        shades = dict.fromkeys(steps)
        colours = dict(zip(shades, _SHADES, strict=False))
        bars = axes.barh(range(len(names)), left, color=[colours[step] for step in steps])
        axes.bar_label(bars, fmt="{:,.0f}", padding=4, fontsize=9)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("files left")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.margins(x=0.15)
        handles = [Patch(color=colours[step], label=step) for step in shades if step]
        axes.legend(
            handles=handles, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3
        )
        return svg(figure)


def share_plot(
    rules: Sequence[str], languages: Sequence[str], shares: Sequence[Sequence[float]]
) -> str:
    """A map of what share of each language's files each rule took: ``shares[rule][language]``."""
    with plt.rc_context({**STYLE, "axes.spines.left": False, "axes.spines.bottom": False}):
        figure, axes = plt.subplots(figsize=(1.9 + 0.5 * len(languages), 0.29 * len(rules) + 1.2))
        axes.pcolormesh(shares, cmap=_MAP, vmin=0, vmax=1, edgecolors="#ffffff", linewidth=1)
        for row, by_language in enumerate(shares):
            for column, share in enumerate(by_language):
                if share > 0:
                    text = f"{share:.0%}" if share >= 0.005 else "<1%"
                    colour = "#ffffff" if share > 0.55 else INK
                    place = (column + 0.5, row + 0.5)
                    axes.text(*place, text, ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(
            [n + 0.5 for n in range(len(languages))],
            languages,
            rotation=40,
            ha="left",
            rotation_mode="anchor",
        )
        axes.set_yticks([n + 0.5 for n in range(len(rules))], rules)
        axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        axes.invert_yaxis()
        return svg(figure)


def kept_plot(bars: Sequence[tuple[str, float]]) -> str:
    """Megabytes that were kept of each language."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.3 * len(bars) + 0.8))
        drawn = axes.barh(range(len(bars)), [size for _, size in bars], color=_COLOURS["trained"])
        axes.bar_label(drawn, fmt="{:,.1f}", padding=4, fontsize=9)
        axes.set_yticks(range(len(bars)), [name for name, _ in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlabel("MB kept")
        axes.margins(x=0.15)
        return svg(figure)


def score_plot(
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]], measure: str, label: str
) -> str:
    """One measure by objective, a bar for each model; objectives without it are left out."""
    shown = [o for o in scores if all(m.get(measure) is not None for m in scores[o].values())]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.0))
        width = 0.26
        for offset, (model, colour) in enumerate(_COLOURS.items()):
            places = [index + (offset - 1) * width for index in range(len(shown))]
            values = [scores[objective][model][measure] for objective in shown]
            bars = axes.bar(places, values, width, color=colour, label=model)
            axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=2)
        axes.set_xticks(range(len(shown)), shown)
        axes.set_ylabel(label)
        axes.margins(y=0.15)
        axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18))
        return svg(figure)


def grouped_plot(
    groups: Sequence[str], series: Mapping[str, Sequence[float | None]], label: str
) -> str:
    """Values by group, a bar for each of ``series``; one without a value has no bar."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.2))
        width = 0.84 / len(series)
        for number, (name, values) in enumerate(series.items()):
            offset = (number - (len(series) - 1) / 2) * width
            shown = [(at + offset, value) for at, value in enumerate(values) if value is not None]
            bars = axes.bar(
                [place for place, _ in shown],
                [value for _, value in shown],
                width,
                color=_SERIES[number % len(_SERIES)],
                label=name,
            )
            axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
        axes.set_xticks(range(len(groups)), groups)
        axes.set_ylabel(label)
        axes.margins(y=0.15)
        axes.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return svg(figure)
