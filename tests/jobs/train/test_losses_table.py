"""What a run leaves behind: rows, final means against plain sums, and nothing hidden by a NaN."""

import math
from pathlib import Path

import numpy as np
import pytest
from tests.jobs.train.records import record, timing, validation

from treespan.jobs.train.losses_table import (
    LOSSES,
    TIMINGS,
    loss_counts,
    loss_row,
    loss_rows,
    timing_row,
)
from treespan.jobs.train.step_record import StepRecord, Tally
from treespan.platform.losses import MEAN_STEPS
from treespan.platform.schemas import batches
from treespan.platform.store import Store

HISTORY = [
    record(step, validation=validation(6 - step / 20) if step % 10 == 0 else {})
    for step in range(50)
]


def test_a_row_has_all_of_a_step(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    history = [*HISTORY[:3], record(3, skipped="gradient norm 50", heads={"length": 0.2})]
    rows = loss_rows(history, skips=[(2, 8), (2, 16)])
    entry = store.write_table("losses.arrow", LOSSES, batches(LOSSES, rows))
    assert entry.rows == 4
    found = store.read_table("losses.arrow").to_pylist()
    for row, step in zip(found, history, strict=True):
        assert row["loss"] == step.loss
        assert row["loss_sfim"] == step.by_objective["sfim"].loss
        assert row["loss_fim-line"] is None
        assert row["target_tokens"] == step.targets
        assert {t["name"]: Tally(t["nats"], t["targets"]) for t in row["by_language"]} == dict(
            step.by_language
        )
    assert [row["rows_skipped"] for row in found] == [0, 0, 24, 0]
    assert [row["skipped"] for row in found] == ["", "", "", "gradient norm 50"]
    assert found[3]["heads"] == [{"name": "length", "loss": 0.2}]
    assert found[0]["validation_loss"] == pytest.approx((6 * 100 + 6.6 * 50) / 150)
    assert found[1]["validation_loss"] is None


def test_the_order_of_reading_shows_nowhere() -> None:
    step = record(1)
    turned = StepRecord(
        **{**vars(step), "by_language": dict(reversed(list(step.by_language.items())))}
    )
    assert loss_row(turned) == loss_row(step)
    assert loss_row(StepRecord.from_dict(step.to_dict())) == loss_row(step)


def test_a_row_of_times(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    rows = [timing_row(7, timing(seconds=0.25))]
    store.write_table("timings.arrow", TIMINGS, batches(TIMINGS, rows))
    (found,) = store.read_table("timings.arrow").to_pylist()
    assert found == {"step": 7, **vars(timing(seconds=0.25))}


def test_final_losses_are_means_over_tokens() -> None:
    counts = loss_counts(HISTORY, skips=[(30, 8)], validation_rows=12)
    last = HISTORY[-MEAN_STEPS:]
    for kind in ("objective", "language", "strategy"):
        for name, loss in counts[f"final_loss_by_{kind}"].items():
            tallies = [getattr(step, f"by_{kind}")[name] for step in last]
            weights = [tally.targets for tally in tallies]
            wanted = np.average([tally.loss for tally in tallies], weights=weights)
            assert loss == pytest.approx(wanted, abs=1e-6)
    assert list(counts["final_loss_by_language"]) == ["Python", "C++", "Go"]
    wanted = np.average([step.loss for step in last], weights=[step.targets for step in last])
    assert counts["final_loss"] == pytest.approx(wanted, abs=1e-6)
    assert counts["steps"] == 50
    assert counts["target_tokens"] == 50 * (90 + 70 + 50)
    assert counts["rollbacks"] == 1
    assert counts["skipped_updates"] == 0
    first = (6 * 100 + 6.6 * 50) / 150
    assert counts["validation"] == {
        "first": pytest.approx(first, abs=1e-6),
        "last": pytest.approx(first * 4 / 6, abs=1e-6),
        "best": pytest.approx(first * 4 / 6, abs=1e-6),
        "best_step": 40,
        "rows": 12,
    }
    assert loss_counts([record(0)])["validation"] is None


def test_a_step_that_blew_up_hides_no_other(tmp_path: Path) -> None:
    nan = {"ntp": Tally(math.nan, 90)}
    bad = record(49, by_objective=nan, by_language={"Python": Tally(math.inf, 90)}, skipped="nan")
    counts = loss_counts([*HISTORY[:-1], bad])
    assert counts["skipped_updates"] == 1
    good = loss_counts(HISTORY)
    assert counts["final_loss"] == pytest.approx(good["final_loss"], rel=0.01)
    # Manifests are strict JSON, in which there is no NaN.
    Store(str(tmp_path)).write_json("counts.json", counts)
    assert loss_counts([record(0, by_objective=nan)])["final_loss"] is None
