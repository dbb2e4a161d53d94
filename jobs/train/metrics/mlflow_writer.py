"""Figures for a tracking server of MLflow."""

from __future__ import annotations

import time
from collections.abc import Mapping

from treespan.jobs.train.metrics.figures import Figure
from treespan.jobs.train.metrics.throughput import RunFacts

_EXPERIMENT = "treespan"
_TAG = "treespan.run"
_PARAMETER_CHARACTERS = 500
"""MLflow refuses longer values on some of its stores."""


class MlflowWriter:
    """A run of the experiment ``treespan``; one that goes on after a restart is the same run."""

    def __init__(self, uri: str, run: RunFacts, first_step: int) -> None:
        from mlflow.entities import Metric
        from mlflow.tracking import MlflowClient

        self._metric = Metric
        self._client = MlflowClient(tracking_uri=uri)
        experiment = self._client.get_experiment_by_name(_EXPERIMENT)
        place = (
            self._client.create_experiment(_EXPERIMENT)
            if experiment is None
            else experiment.experiment_id
        )
        found = self._client.search_runs([place], f"tags.`{_TAG}` = '{run.run_name}'")
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        made = self._client.create_run(place, run_name=run.run_name, tags={_TAG: run.run_name})
        self._id = made.info.run_id
        for name, value in run.settings.items():
            self._client.log_param(self._id, name, str(value)[:_PARAMETER_CHARACTERS])

    def write(self, step: int, figures: Mapping[Figure, float]) -> None:
        """All in one request; there are fewer than the thousand that one may hold."""
        now = round(time.time() * 1000)
        metrics = [self._metric(figure.path, value, now, step) for figure, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._id)
