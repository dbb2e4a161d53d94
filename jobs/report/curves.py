"""Losses over steps as curves of a few hundred points, however long the run was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.platform.losses import tallied

_POINTS = 300
"""As many as a plot of 7 inches can show."""
_SPAN = 50
"""A point is the mean over this part of the run before it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """``values[i]`` belongs to ``steps[i]``; NaN where there is none."""

    name: str
    steps: Floats
    values: Floats
    weight: float
    """How much it is the mean of: target tokens."""


def loss_curves(losses: pa.Table, kind: str, limit: int) -> list[Curve]:
    """Losses in nats per target token by ``kind``, of the ``limit`` names with most targets.

    A point is the sum of losses over the sum of targets in a window that ends there, so steps count
    by their tokens. Windows are a fiftieth of the run; the first ones are shorter.
    """
    table = tallied(losses, kind)
    steps = losses["step"].to_numpy().astype(np.float64)
    rows, names = table["row"].to_numpy(), table["name"].to_numpy(zero_copy_only=False)
    nats, targets = table["nats"].to_numpy(), table["targets"].to_numpy().astype(np.float64)
    found = []
    for name in np.unique(names):
        of_name = names == name
        sums = np.zeros((2, len(steps)))
        np.add.at(sums[0], rows[of_name], nats[of_name])
        np.add.at(sums[1], rows[of_name], targets[of_name])
        found.append((float(sums[1].sum()), str(name), sums))
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    places = points(len(steps))
    return [
        Curve(name, steps[places], _ratio(windowed(sums, places)), weight)
        for weight, name, sums in found[:limit]
    ]


def points(length: int) -> NDArray[np.int64]:
    """Places that are shown of ``length``: all, or some at equal distances with both ends."""
    return np.unique(np.linspace(0, length - 1, min(length, _POINTS)).round().astype(np.int64))


def windowed(values: Floats, places: NDArray[np.int64]) -> Floats:
    """Sums of ``values`` [..., N] over the window that ends at each place: [..., P]."""
    span = max(1, values.shape[-1] // _SPAN)
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), values.cumsum(axis=-1)], axis=-1)
    result: Floats = sums[..., places + 1] - sums[..., np.maximum(0, places + 1 - span)]
    return result


def _ratio(sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Floats = np.where(sums[1] > 0, sums[0] / sums[1], np.nan)
    return ratio


def measured(losses: pa.Table, column: str) -> tuple[Floats, Floats]:
    """Steps and values of a column where it has a finite value. Of more than can be shown, each point
    is the largest of those since the point before: a peak of one step must not fall between."""
    values = losses[column].to_numpy().astype(np.float64)
    at = np.flatnonzero(np.isfinite(values))
    steps, values = losses["step"].to_numpy().astype(np.float64)[at], values[at]
    if len(at) <= _POINTS:
        return steps, values
    ends = points(len(at)) + 1
    starts = np.concatenate([[0], ends[:-1]])
    return steps[ends - 1], np.maximum.reduceat(values, starts)


def marked(losses: pa.Table) -> tuple[Sequence[int], Sequence[int]]:
    """Steps whose update was left out, and steps that came right after a roll-back."""
    steps = losses["step"].to_pylist()
    skipped = [step for step, why in zip(steps, losses["skipped"].to_pylist(), strict=True) if why]
    rows = losses["rows_skipped"].to_pylist()
    return skipped, [step for step, count in zip(steps, rows, strict=True) if count]
