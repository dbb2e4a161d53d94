"""Plots of training: losses, learning rate and gradient norm, and how fast it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from treespan.jobs.report.curves import Curve, Floats
from treespan.jobs.report.plot_style import INK, STYLE, svg

_COLOURS = (
    "#0b7285",
    "#e8a33d",
    "#7048e8",
    "#2f9e44",
    "#d9480f",
    "#f06595",
    "#868e96",
    "#74b8c4",
)
_SKIPPED, _BACK = "#e03131", "#adb5bd"


def loss_plot(
    curves: Sequence[Curve],
    validation: tuple[Floats, Floats],
    rollbacks: Sequence[int],
) -> str:
    """Training loss by objective over steps, and of held-out rows where it was measured."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 3.4), layout="constrained")
        _lines(axes, curves)
        steps, losses = validation
        if len(steps):
            axes.plot(steps, losses, "o--", color=INK, linewidth=1, markersize=4, label="held-out")
        _mark_rollbacks(axes, rollbacks)
        axes.set_xlabel("step")
        axes.set_ylabel("loss, nats per token")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.legend(frameon=False, ncols=2)
        return svg(figure)


def compared_plot(panels: Sequence[tuple[str, Sequence[Curve]]]) -> str:
    """A panel of curves for each kind that losses are told apart by, on one scale."""
    with plt.rc_context(STYLE):
        figure, row = plt.subplots(
            1, len(panels), figsize=(7.2, 3.6), sharey=True, squeeze=False, layout="constrained"
        )
        for axes, (title, curves) in zip(row[0], panels, strict=True):
            _lines(axes, curves)
            axes.set_title(title, fontsize=10, loc="left")
            axes.set_xlabel("step")
            axes.xaxis.set_major_formatter(FuncFormatter(_short))
            axes.legend(frameon=False, fontsize=8)
        row[0][0].set_ylabel("loss, nats per token")
        return svg(figure)


def gradient_plot(
    rate: tuple[Floats, Floats],
    norm: tuple[Floats, Floats],
    skipped: Sequence[int],
    rollbacks: Sequence[int],
) -> str:
    """Learning rate, and the gradient norm on a logarithmic scale, with what went wrong."""
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(7.2, 3.6), sharex=True, height_ratios=(1, 1.5), layout="constrained"
        )
        above.plot(*rate, color=_COLOURS[1], linewidth=1.6)
        above.set_ylabel("learning rate")
        above.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        above.set_ylim(bottom=0)
        below.plot(*norm, color=_COLOURS[0], linewidth=0.9)
        below.set_yscale("log")
        below.set_ylabel("gradient norm")
        below.set_xlabel("step")
        below.xaxis.set_major_formatter("{x:,.0f}")
        if skipped:
            below.plot(
                skipped,
                [0.03] * len(skipped),
                "x",
                color=_SKIPPED,
                transform=below.get_xaxis_transform(),
                label="update left out",
            )
        _mark_rollbacks(below, rollbacks)
        if skipped or rollbacks:
            below.legend(frameon=False, ncols=2, loc="upper right")
        return svg(figure)


def speed_plot(
    minutes: Floats,
    tokens_per_second: Floats,
    shares: dict[str, Floats],
    checkpoints: Sequence[float],
) -> str:
    """Tokens per second over the time of training, and below it what the time was lost to."""
    with plt.rc_context(STYLE):
        figure, (above, below) = plt.subplots(
            2, 1, figsize=(7.2, 4.2), sharex=True, height_ratios=(1.6, 1), layout="constrained"
        )
        above.plot(minutes, tokens_per_second, color=_COLOURS[0], linewidth=1.4)
        above.set_ylabel("tokens per second")
        above.yaxis.set_major_formatter("{x:,.0f}")
        above.set_ylim(bottom=0)
        if checkpoints:
            above.plot(
                checkpoints,
                [0.03] * len(checkpoints),
                "^",
                color=INK,
                markersize=5,
                transform=above.get_xaxis_transform(),
                label="training state saved",
            )
            above.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        for (name, values), colour in zip(shares.items(), _COLOURS[1:], strict=False):
            below.plot(minutes, 100 * values, color=colour, linewidth=1.4, label=name)
        below.set_ylabel("share of time, %")
        below.set_xlabel("minutes")
        below.set_ylim(bottom=0)
        below.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        return svg(figure)


def _lines(axes: Axes, curves: Sequence[Curve]) -> None:
    for number, curve in enumerate(curves):
        axes.plot(
            curve.steps,
            curve.values,
            color=_COLOURS[number % len(_COLOURS)],
            label=curve.name,
            linewidth=1.6,
        )


def _mark_rollbacks(axes: Axes, rollbacks: Sequence[int]) -> None:
    for place, step in enumerate(rollbacks):
        axes.axvline(
            step,
            color=_BACK,
            linewidth=1.2,
            linestyle=(0, (4, 2)),
            label="rolled back" if place == 0 else None,
        )


def _short(step: float, _: Any) -> str:
    """``20k`` for 20,000: panels are narrow."""
    return f"{step / 1000:,.0f}k" if step >= 10_000 else f"{step:,.0f}"
