"""Losses summed by objective, language and sampling strategy, over any number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from treespan.jobs.train.batch import Batch
from treespan.jobs.train.step_record import Tally
from treespan.model.objectives import OBJECTIVES
from treespan.platform.steps import Output


class Tallies(NamedTuple):
    """Sums of losses, told apart in three ways."""

    by_objective: Mapping[str, Tally]  # all of OBJECTIVES
    by_language: Mapping[str, Tally]  # those that occurred
    by_strategy: Mapping[str, Tally]  # those that occurred


class TallyKeys:
    """What sums are kept for: the same list, in the same order, on every worker.

    A language or strategy that is not among them is counted by its objective alone.
    """

    def __init__(self, languages: Sequence[str] = (), strategies: Sequence[str] = ()) -> None:
        self._groups = (OBJECTIVES, tuple(languages), tuple(strategies))
        self._places: list[dict[str, int]] = []
        for group in self._groups:
            first = sum(len(places) for places in self._places)
            self._places.append({name: first + place for place, name in enumerate(group)})

    @staticmethod
    def of(pack: Output, sample: Output) -> TallyKeys:
        """All that occurs in training rows, by what packing and sampling have counted."""
        languages, strategies = (
            pack.counts["tokens_by_language"],
            sample.counts["files_by_strategy"],
        )
        return TallyKeys(sorted(languages), sorted(strategies))

    def __len__(self) -> int:
        return sum(len(group) for group in self._groups)

    def zeros(self) -> Tensor:
        """Sums of nothing: float64 [keys, 2] on the CPU."""
        return torch.zeros(len(self), 2, dtype=torch.float64)

    def sums(self, losses: Tensor, batch: Batch) -> Tensor:
        """Sums of ``losses`` (nats, [B, T]) and numbers of targets: float64 [keys, 2] on the CPU.

        They are added up in the order of rows and tokens, on the CPU, so that equal losses give
        equal bits; sums of several batches and workers add up. Waits for the device of ``losses``.
        """
        segments = batch.segments.numpy().ravel()
        counted = segments >= 0
        nats = losses.detach().cpu().numpy().astype(np.float64).ravel()
        by_tag = np.zeros((len(batch.tags), 2))
        by_tag[:, 0] = np.bincount(segments[counted], nats[counted], minlength=len(batch.tags))
        by_tag[:, 1] = np.bincount(segments[counted], minlength=len(batch.tags))
        sums = np.zeros((len(self), 2))
        for tags, found in zip(batch.tags, by_tag, strict=True):
            for places, name in zip(self._places, tags, strict=True):
                if name in places:
                    sums[places[name]] += found
        return torch.from_numpy(sums)

    def split(self, sums: Tensor) -> Tallies:
        """``sums`` by what they are of."""
        values = sums.tolist()
        objectives, languages, strategies = (
            {name: Tally(values[place][0], int(values[place][1])) for name, place in places.items()}
            for places in self._places
        )
        return Tallies(objectives, _occurring(languages), _occurring(strategies))


def _occurring(tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: tally for name, tally in tallies.items() if tally.targets}
