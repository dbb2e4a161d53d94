"""Plots as inline SVG, one function each, with the same look. Equal data gives equal bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

_INK = "#1f2933"
_COLOURS = {"trained": "#0b7285", "untrained": "#adb5bd", "unigram": "#e8a33d"}
_STYLE: Any = {
    "svg.hashsalt": "treespan",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def funnel_plot(stages: Sequence[tuple[str, int]]) -> str:
    """Files that are left after each rule, from all to those kept."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.42 * len(stages) + 0.8))
        names = [name for name, _ in stages]
        left = [count for _, count in stages]
        axes.barh(names, left, color=_COLOURS["trained"])
        for row, count in enumerate(left):
            axes.text(count, row, f" {count:,}", va="center")
        axes.invert_yaxis()
        axes.set_xlabel("files left")
        axes.margins(x=0.15)
        return _svg(figure)


def loss_plot(steps: Sequence[int], losses: Mapping[str, Sequence[float | None]]) -> str:
    """Training loss by objective over steps, in nats per token, smoothed over some steps."""
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.4))
        for name, values in losses.items():
            axes.plot(steps, _smoothed(values), label=name, linewidth=1.6)
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats per token")
        axes.legend(frameon=False)
        return _svg(figure)


def score_plot(
    scores: Mapping[str, Mapping[str, Mapping[str, Any]]], measure: str, label: str
) -> str:
    """One measure by objective, a bar for each model; objectives without it are left out."""
    shown = [o for o in scores if all(m.get(measure) is not None for m in scores[o].values())]
    with plt.rc_context(_STYLE):
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
        return _svg(figure)


def _smoothed(values: Sequence[float | None], weight: float = 0.9) -> list[float]:
    """Exponential mean; a step without a value keeps the one before."""
    smooth: list[float] = []
    for value in values:
        last = smooth[-1] if smooth else value
        if value is None or last is None:
            smooth.append(float("nan") if last is None else last)
        elif math.isnan(last):  # nothing seen yet
            smooth.append(value)
        else:
            smooth.append(weight * last + (1 - weight) * value)
    return smooth


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
