"""What the report, ``show`` and the quickstart say of training."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from tests.jobs.train.records import record, training_output

from treespan.jobs.report.curves import loss_curves, marked, measured, points
from treespan.jobs.report.training import speed_page, training_section
from treespan.jobs.train.losses_table import LOSSES, loss_rows
from treespan.jobs.train.step_record import StepRecord, Tally
from treespan.platform.quickstart import loss_in_words
from treespan.platform.run_record import read_run, write_run
from treespan.platform.steps import Output
from treespan.platform.store import Store
from treespan.platform.summary import as_json, summary_line
from treespan.platform.tables import run_tables


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Output:
    store = Store(str(tmp_path_factory.mktemp("trained")))
    output = training_output(store)
    write_run(store, "small", {"train": output}, ("train",))
    return output


def table_of(history: list[StepRecord]) -> pa.Table:
    return pa.Table.from_pylist(list(loss_rows(history)), schema=LOSSES)


def printed(output: Output) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        for table in run_tables(replace(read_run(output.store), steps={"train": output}), 120):
            console.print(table)
    return capture.get()


def test_show(train: Output) -> None:
    text = printed(train)
    for said in (
        r"objective │ ntp +│ +9,000 │ +7\.\d\d │ +4\.\d\d │ █+",
        r"language +│ Python",
        r"│ C\+\+ +│ +7,000",
        r"strategy +│ content",
        r"loss 8\.27 at first, 4\.17 at last, 4\.17 at best \(step 99\); 64 rows",
        r"speed +│ 512 tokens per second",
        r"waited for rows +│ 1\.00% of the time",
        r"stood still for training states +│ 0\.80% of the time",
        r"updates left out +│ 1 ",
        r"roll-backs +│ 1 ",
        r"from step 0: 2 workers, ZeRO stage 2",
        r"from step 40: 1 worker, ZeRO stage 3, offload cpu",
    ):
        assert re.search(said, text), said


def test_show_of_an_earlier_version(train: Output, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    losses = train.store.read_table(f"{train.folder}/losses.arrow", ["step", "loss"])
    store.write_table(f"{train.folder}/losses.arrow", losses.schema, losses.to_batches())
    kept = ("steps", "target_tokens", "first_loss", "final_loss", "final_loss_by_objective")
    old = {
        **train.manifest,
        "counts": {name: train.counts[name] for name in kept},
        "measures": {"tokens_per_second": 5103.0, "data_wait_share": 0.002, "workers": 2},
    }
    write_run(store, "old", {}, ("train",))
    text = printed(Output(store, train.folder, old))
    assert "5,103 tokens per second" in text
    assert "step 99" in text
    assert "held-out" not in text
    assert "held-out" not in loss_in_words(old["counts"])


def test_lines_and_json(train: Output) -> None:
    counts, said = train.counts, summary_line(train, found=False)
    first, last = counts["first_loss"], counts["final_loss"]
    assert f"loss {first:.2f} -> {last:.2f} (held-out 4.17) in 100 steps" in said
    assert "512 tokens/s" in said
    assert "MFU" in said
    words = loss_in_words(counts)
    assert "rows of held-out repositories it went from 8.27 to 4.17" in words
    shown = as_json(read_run(train.store))["steps"]["train"]
    assert shown["tokens"] == counts["target_tokens"]
    assert shown["final_loss"] == last
    assert shown["validation"]["best_step"] == 99
    assert shown["mfu"] == train.manifest["measures"]["mfu"]
    lost = {**counts, "final_loss": None}
    assert "not finite nats" in loss_in_words(lost)


def test_the_section(train: Output) -> None:
    html = training_section(train, "speed.html")
    assert html == training_section(train, "speed.html")
    assert html.count("<svg") == 3
    for said in ("held-out", "rolled back", "update left out", "by language", "C++", "random"):
        assert said in html, said
    assert '<a href="speed.html">' in html
    assert "tokens per second" not in html


def test_the_page_of_speeds(train: Output, tmp_path: Path) -> None:
    html = speed_page(train, "A run")
    assert html is not None
    for said in ("tokens per second", "training state saved", "waiting for rows", "offload cpu"):
        assert said in html, said
    untimed = Output(Store(str(tmp_path)), train.folder, train.manifest)
    assert speed_page(untimed, "A run") is None


def test_curves_are_means_over_tokens() -> None:
    history = [record(step) for step in range(1000)]
    (curve, *_) = loss_curves(table_of(history), "language", 1)
    assert curve.name == "Python"
    assert len(curve.steps) == 300
    for at in (0, 7, 150, 299):
        end = int(curve.steps[at])
        window = history[max(0, end - 19) : end + 1]
        tallies = [step.by_language["Python"] for step in window]
        wanted = np.average([t.loss for t in tallies], weights=[t.targets for t in tallies])
        assert curve.values[at] == pytest.approx(wanted)


def test_a_language_that_comes_and_goes() -> None:
    """Steps without it leave its curve open, and a step that blew up is no part of it."""

    def only(step: int, **by_language: Tally) -> StepRecord:
        return record(step, by_language=by_language)

    history = [
        only(0, Go=Tally(6.0, 2)),
        only(1, Go=Tally(math.nan, 2)),
        only(2),
        only(3, Go=Tally(4.0, 2), C=Tally(1.0, 1)),
    ]
    first, second = loss_curves(table_of(history), "language", 5)
    assert (first.name, second.name) == ("Go", "C")
    np.testing.assert_array_equal(first.values, [3, math.nan, math.nan, 2])
    np.testing.assert_array_equal(second.values, [math.nan, math.nan, math.nan, 1])


def test_a_peak_is_never_between_two_points() -> None:
    norms: dict[int, Any] = {417: 50.0, 900: math.nan}
    table = table_of([record(step, gradient_norm=norms.get(step, 1.0)) for step in range(1000)])
    steps, values = measured(table, "gradient_norm")
    assert len(steps) == 300
    assert values.max() == 50
    assert abs(steps[values.argmax()] - 417) < 5
    assert np.isfinite(values).all()
    assert measured(table, "validation_loss")[0].size == 0


@pytest.mark.parametrize("length", [1, 2, 300, 301, 100_000])
def test_points_have_both_ends(length: int) -> None:
    found = points(length)
    assert found[0] == 0
    assert found[-1] == length - 1
    assert len(set(found.tolist())) == len(found) == min(length, 300)


def test_marks() -> None:
    history = [record(step, skipped="norm" if step == 2 else "") for step in range(4)]
    rows = list(loss_rows(history, skips=[(3, 8)]))
    assert marked(pa.Table.from_pylist(rows, schema=LOSSES)) == ([2], [3])
