"""What a run of training leaves behind: a table of losses, a table of times, and their sums.

The losses are a function of what was learnt and equal bit for bit after a resume. Times vary from
run to run, so they stand in a table of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from treespan.jobs.train.step_record import StepRecord, StepTiming, Tally
from treespan.model.objectives import OBJECTIVES
from treespan.platform.losses import KINDS, MEAN_STEPS

_TALLIES = pa.list_(
    pa.struct([("name", pa.string()), ("nats", pa.float64()), ("targets", pa.int64())])
)

LOSSES = pa.schema(
    [
        ("step", pa.int64()),
        ("learning_rate", pa.float64()),
        ("gradient_norm", pa.float64()),  # before clipping
        ("loss", pa.float64()),  # nats per target token
        *[(f"loss_{name}", pa.float64()) for name in OBJECTIVES],  # null without targets
        ("target_tokens", pa.int64()),
        ("skipped", pa.string()),  # why no weights were updated; "" where they were
        ("rows_skipped", pa.int64()),  # by a roll-back, right before this step
        ("validation_loss", pa.float64()),  # null where it was not measured
        ("validation", _TALLIES),  # by objective
        ("by_objective", _TALLIES),  # sums and counts of the columns above
        ("by_language", _TALLIES),
        ("by_strategy", _TALLIES),
        ("heads", pa.list_(pa.struct([("name", pa.string()), ("loss", pa.float64())]))),
    ]
)
"""One row is an optimizer step."""

TIMINGS = pa.schema(
    [
        ("step", pa.int64()),
        ("seconds", pa.float64()),  # from the end of the step before
        ("data_wait_seconds", pa.float64()),
        ("checkpoint_seconds", pa.float64()),
        ("tokens", pa.int64()),  # padding included
        ("peak_memory_bytes", pa.int64()),
    ]
)
"""One row is a step that a process took; steps that were taken twice have two."""


def loss_rows(
    history: Iterable[StepRecord], skips: Iterable[tuple[int, int]] = ()
) -> Iterator[dict[str, Any]]:
    """Rows of ``LOSSES``. ``skips`` are (from step, rows skipped), one for each roll-back."""
    skipped: dict[int, int] = {}
    for step, rows in skips:
        skipped[step] = skipped.get(step, 0) + rows
    return (loss_row(record, skipped.get(record.step, 0)) for record in history)


def loss_row(record: StepRecord, rows_skipped: int = 0) -> dict[str, Any]:
    """The row of ``LOSSES`` of one step."""
    by_objective = {
        f"loss_{name}": tally.loss for name, tally in record.by_objective.items() if tally.targets
    }
    return {
        "step": record.step,
        "learning_rate": record.learning_rate,
        "gradient_norm": record.gradient_norm,
        "loss": record.loss,
        **by_objective,
        "target_tokens": record.targets,
        "skipped": record.skipped,
        "rows_skipped": rows_skipped,
        "validation_loss": overall(record.validation).loss if record.validation else None,
        "validation": _tally_list(record.validation),
        "by_objective": _tally_list(
            {name: tally for name, tally in record.by_objective.items() if tally.targets}
        ),
        "by_language": _tally_list(record.by_language),
        "by_strategy": _tally_list(record.by_strategy),
        "heads": [{"name": name, "loss": record.heads[name]} for name in sorted(record.heads)],
    }


def timing_row(step: int, timing: StepTiming) -> dict[str, Any]:
    """The row of ``TIMINGS`` of one step."""
    return {"step": step, **vars(timing)}


def loss_counts(
    history: Sequence[StepRecord],
    skips: Sequence[tuple[int, int]] = (),
    validation_rows: int = 0,
    final_validation: Mapping[str, Tally] | None = None,
) -> dict[str, Any]:
    """What a manifest counts of a run: losses at both ends, validation, and what went wrong.

    ``validation`` is null where it was never measured; a loss is null where it was never finite.
    """
    last = history[-MEAN_STEPS:]
    by = {
        f"final_loss_by_{kind}": _losses(pooled(getattr(record, f"by_{kind}") for record in last))
        for kind in KINDS
    }
    final = overall(pooled(record.by_objective for record in last))
    return {
        "steps": len(history),
        "target_tokens": sum(record.targets for record in history),
        "first_loss": _rounded(history[0].loss),
        "final_loss": _rounded(final.loss),
        **by,
        "validation": _validation(history, final_validation or {}, validation_rows),
        "skipped_updates": sum(1 for record in history if record.skipped),
        "rollbacks": len(skips),
    }


def pooled(tallies: Iterable[Mapping[str, Tally]]) -> dict[str, Tally]:
    """Sums by name, most targets first. Tallies that are not finite are left out: one step that blew
    up, and was skipped for it, would hide all others."""
    sums: dict[str, tuple[float, int]] = {}
    for by_name in tallies:
        for name, tally in by_name.items():
            if math.isfinite(tally.nats) and tally.targets:
                nats, targets = sums.get(name, (0.0, 0))
                sums[name] = (nats + tally.nats, targets + tally.targets)
    ranked = sorted(sums, key=lambda name: (-sums[name][1], name))
    return {name: Tally(*sums[name]) for name in ranked}


def overall(by_name: Mapping[str, Tally]) -> Tally:
    """The sum over all names."""
    return Tally(
        sum(tally.nats for tally in by_name.values()),
        sum(tally.targets for tally in by_name.values()),
    )


def _validation(
    history: Sequence[StepRecord], final: Mapping[str, Tally], rows: int
) -> dict[str, Any] | None:
    measured = [(overall(r.validation).loss, r.step) for r in history if r.validation]
    if final:
        measured.append((overall(final).loss, len(history)))
    finite = [(loss, step) for loss, step in measured if math.isfinite(loss)]
    if not finite:
        return None
    best, best_step = min(finite)
    return {
        "first": _rounded(finite[0][0]),
        "last": _rounded(finite[-1][0]),
        "best": _rounded(best),
        "best_step": best_step,
        "rows": rows,
    }


def _losses(tallies: Mapping[str, Tally]) -> dict[str, float | None]:
    return {name: _rounded(tally.loss) for name, tally in tallies.items()}


def _rounded(loss: float) -> float | None:
    return round(loss, 6) if math.isfinite(loss) else None


def _tally_list(tallies: Mapping[str, Tally]) -> list[dict[str, Any]]:
    """In the order of names, so that it never depends on the order in which rows were read."""
    return [{"name": name, **vars(tallies[name])} for name in sorted(tallies)]
