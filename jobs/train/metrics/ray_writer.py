"""Figures as gauges and counters of Ray, which every node of a cluster offers to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping

from ray.util.metrics import Counter, Gauge

from treespan.jobs.train.metrics.figures import MEANINGS, Figure
from treespan.jobs.train.metrics.throughput import RunFacts

PREFIX = "treespan_train_"
"""Ray puts ``ray_`` in front of it."""


class RayWriter:
    """``treespan_train_NAME``, with the label ``run`` and, where there are several, one for which."""

    def __init__(self, run: RunFacts, first_step: int) -> None:
        self._run = run.run_name
        self._gauges: dict[str, Gauge] = {}
        self._counters: dict[str, Counter] = {}
        self._counted: dict[Figure, float] = {}
        for name, meaning in MEANINGS.items():
            labels = ("run", meaning.label) if meaning.label else ("run",)
            if meaning.counts:
                self._counters[name] = Counter(f"{PREFIX}{name}", meaning.text, tag_keys=labels)
            else:
                self._gauges[name] = Gauge(f"{PREFIX}{name}", meaning.text, tag_keys=labels)

    def write(self, step: int, figures: Mapping[Figure, float]) -> None:
        """Set the gauges, and count what was added since the last call."""
        for figure, value in figures.items():
            tags = {"run": self._run}
            if figure.of:
                tags[MEANINGS[figure.name].label] = figure.of
            if figure.name in self._gauges:
                self._gauges[figure.name].set(value, tags)
                continue
            added = value - self._counted.get(figure, 0.0)
            self._counted[figure] = value
            if added > 0:
                self._counters[figure.name].inc(added, tags)

    def close(self) -> None:
        """Ray forgets the gauges of a process that ends."""
