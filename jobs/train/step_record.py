"""What one optimizer step did: the same on every worker, and part of the training state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tally:
    """A sum of losses over targets of one kind."""

    nats: float
    targets: int

    @property
    def loss(self) -> float:
        """Mean loss in nats per target token; NaN without targets."""
        return self.nats / self.targets if self.targets else float("nan")


@dataclass(frozen=True)
class StepRecord:
    """One step. Tallies are over the tokens of the whole global batch."""

    step: int  # from 0
    learning_rate: float
    gradient_norm: float  # before clipping
    by_objective: Mapping[str, Tally]  # all of model.objectives.OBJECTIVES
    by_language: Mapping[str, Tally]  # those that occurred
    by_strategy: Mapping[str, Tally]  # those that occurred
    skipped: str = ""  # why no weights were updated; "" where they were
    heads: Mapping[str, float] = field(default_factory=dict)  # mean losses of further heads
    validation: Mapping[str, Tally] = field(default_factory=dict)  # by objective, where measured

    @property
    def targets(self) -> int:
        """Target tokens."""
        return sum(tally.targets for tally in self.by_objective.values())

    @property
    def loss(self) -> float:
        """Mean loss in nats per target token."""
        return Tally(sum(tally.nats for tally in self.by_objective.values()), self.targets).loss

    def to_dict(self) -> dict[str, Any]:
        """JSON types; floats survive a round trip exactly."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> StepRecord:
        """The inverse of ``to_dict``."""
        tallies = ("by_objective", "by_language", "by_strategy", "validation")
        parsed = {
            name: {key: Tally(**tally) for key, tally in values[name].items()} for name in tallies
        }
        return StepRecord(**{**values, **parsed})


@dataclass(frozen=True)
class StepTiming:
    """Where the wall time of one step went on this worker; never part of a training state."""

    seconds: float
    """From the end of the step before to the end of this one."""
    data_wait_seconds: float
    """Waiting for rows."""
    checkpoint_seconds: float
    """Standing still for a training state to be copied."""
    tokens: int
    """Of the global batch, padding included."""
    peak_memory_bytes: int
    """Of the device, or resident in this process on a CPU."""
