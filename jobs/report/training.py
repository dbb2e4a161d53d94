"""The section on training, and a page of its own on how fast it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from treespan.jobs.report.curves import (
    loss_curves,
    marked,
    measured,
    points,
    windowed,
)
from treespan.jobs.report.page import link, page, paragraph, section, table
from treespan.jobs.report.plots_train import compared_plot, gradient_plot, loss_plot, speed_plot
from treespan.platform.funnel import name_of
from treespan.platform.steps import Output
from treespan.platform.train_tables import (
    placement_in_words,
    speed_in_words,
    validation_in_words,
)

_OBJECTIVES, _LANGUAGES, _STRATEGIES = 8, 6, 6
"""Curves in a plot."""


def training_section(train: Output, speed: str) -> str:
    """How losses went; ``speed`` is the page that the section refers to."""
    losses = train.store.read_table(f"{train.folder}/losses.arrow")
    counts = train.counts
    skipped, rollbacks = marked(losses)
    languages = [
        replace(curve, name=name_of(curve.name))
        for curve in loss_curves(losses, "language", _LANGUAGES)
    ]
    panels = [
        ("by language", languages),
        ("by sampling strategy", loss_curves(losses, "strategy", _STRATEGIES)),
    ]
    said = f"{counts['target_tokens']:,} target tokens in {counts['steps']:,} steps."
    if counts["validation"]:
        said += f" Held-out repositories: {validation_in_words(counts['validation'])}."
    said += (
        f" Updates left out: {counts['skipped_updates']:,}; roll-backs: {counts['rollbacks']:,}."
    )
    return section(
        "Training",
        loss_plot(
            loss_curves(losses, "objective", _OBJECTIVES),
            measured(losses, "validation_loss"),
            rollbacks,
        ),
        paragraph(said),
        compared_plot([panel for panel in panels if panel[1]]),
        paragraph(
            "The languages with most target tokens. A point is the mean over a fiftieth of the run."
        ),
        gradient_plot(
            measured(losses, "learning_rate"),
            measured(losses, "gradient_norm"),
            skipped,
            rollbacks,
        ),
        paragraph("The norm is that before clipping."),
        link("How fast it was", speed) if _has_timings(train) else "",
    )


def speed_page(train: Output, title: str) -> str | None:
    """Tokens per second over time, and what the time was lost to; None where nothing was timed."""
    if not _has_timings(train):
        return None
    timings = train.store.read_table(_timings(train))
    names = ("seconds", "tokens", "data_wait_seconds", "checkpoint_seconds")
    values = np.stack([timings[name].to_numpy().astype(np.float64) for name in names])
    if not values.size:
        return None
    minutes, places = values[0].cumsum() / 60, points(values.shape[1])
    seconds, tokens, waited, stalled = windowed(values, places)
    measures = train.manifest["measures"]
    plot = speed_plot(
        minutes[places],
        tokens / seconds,
        {"waiting for rows": waited / seconds, "saving training states": stalled / seconds},
        minutes[np.flatnonzero(values[3])].tolist(),
    )
    rows = list(speed_in_words(measures))
    rows += [("ran on", placement_in_words(one)) for one in measures.get("placements") or ()]
    lead = "Speeds vary from run to run; everything else of a run is in report.html."
    parts = [
        plot,
        paragraph("Tokens include padding. A point is the mean over a fiftieth of the steps."),
        table(("measure", "value"), rows),
    ]
    return page(f"{title}: speed", lead, [section("Training", *parts)])


def _has_timings(train: Output) -> bool:
    return train.store.exists(_timings(train))


def _timings(train: Output) -> str:
    return f"{train.folder}/timings.arrow"
