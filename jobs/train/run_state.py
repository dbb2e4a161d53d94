"""What a run of training has done so far: the history that every later decision is a function of."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from treespan.jobs.train.step_record import StepRecord, Tally


@dataclass
class RunState:
    """What a run did so far; the same on every worker."""

    history: list[StepRecord] = field(default_factory=list)
    skips: list[tuple[int, int]] = field(default_factory=list)
    """From which step on how many more rows are passed over."""
    rollbacks: list[dict[str, Any]] = field(default_factory=list)
    """``{"step", "to", "why"}`` of every return to an earlier state."""
    placements: list[dict[str, Any]] = field(default_factory=list)
    """``{"from_step", "workers", ...}``: how the run was carried out since which step."""
    final_validation: dict[str, Tally] = field(default_factory=dict)
    """Loss on held-out rows by objective after the last step."""

    @property
    def updates(self) -> int:
        """How often weights were updated."""
        return sum(not record.skipped for record in self.history)

    def copy(self) -> RunState:
        """As it is now, whatever is added later."""
        return RunState(
            history=list(self.history),
            skips=list(self.skips),
            rollbacks=list(self.rollbacks),
            placements=list(self.placements),
            final_validation=dict(self.final_validation),
        )

    def to_bytes(self) -> bytes:
        """Compressed JSON; floats survive exactly, and equal states are equal bytes."""
        values = {
            **vars(self),
            "history": [record.to_dict() for record in self.history],
            "final_validation": {name: vars(t) for name, t in self.final_validation.items()},
        }
        return gzip.compress(json.dumps(values).encode(), compresslevel=1, mtime=0)

    @staticmethod
    def from_bytes(data: bytes) -> RunState:
        """The inverse of ``to_bytes``."""
        values = json.loads(gzip.decompress(data))
        return RunState(
            history=[StepRecord.from_dict(record) for record in values["history"]],
            skips=[(step, rows) for step, rows in values["skips"]],
            rollbacks=values["rollbacks"],
            placements=values["placements"],
            final_validation={n: Tally(**t) for n, t in values["final_validation"].items()},
        )
