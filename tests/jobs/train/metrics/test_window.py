"""Figures while training: means over a window, utilisation, what a line says, when it ends."""

import math
from pathlib import Path

import pytest
from tests.jobs.train.records import MODEL, facts, record, timing, validation

from treespan.jobs.train.metrics.figures import MEANINGS, Figure, figures_of
from treespan.jobs.train.metrics.throughput import measures
from treespan.jobs.train.metrics.window import SPEED_STEPS, Window, describe
from treespan.jobs.train.step_record import Tally


def window(steps: int, first: int = 0, **changes: object) -> Window:
    made = Window(facts(**changes))
    for step in range(first, first + steps):
        made.add(record(step), timing())
    return made


def test_utilisation_is_needed_over_possible_operations() -> None:
    found = measures([timing(), timing(seconds=1.5, checkpoint_seconds=1.0)], facts())
    # By hand: 512 tokens in 2 s on two devices of 1e9 operations per second.
    hidden, layers, ffn, vocab, kv = 32, 2, 64, 64, 16
    block = 2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * ffn
    per_token = 6 * (layers * block + vocab * hidden) + 12 * layers * hidden * 32
    assert MODEL.flops_per_token(32) == per_token
    assert found == {
        "tokens_per_second": 256.0,
        "mfu": round(256 * per_token / 2e9, 5),
        "data_wait_share": 0.005,
        "checkpoint_stall_share": 0.5,
        "peak_memory_bytes": 1_000_000,
        "seconds": 2.0,
    }
    assert measures([timing()], facts(peak_flops=None))["mfu"] is None


def test_a_process_that_only_exported_has_no_speed() -> None:
    found = measures([], facts())
    assert found.pop("seconds") == 0
    assert set(found) == set(measures([timing()], facts())) - {"seconds"}
    assert set(found.values()) == {None}


def test_the_first_step_of_a_process_counts_only_while_it_is_alone() -> None:
    made = Window(facts())
    made.add(record(0), timing(seconds=60.0))
    assert made.speed is not None
    assert made.speed.seconds_per_step == 60
    made.add(record(1), timing())
    assert made.speed.seconds_per_step == 0.5
    assert made.tokens == 512


def test_a_resumed_run_ends_by_its_own_speed() -> None:
    made = window(3, first=80)
    assert made.seconds_left == pytest.approx((100 - 83) * 0.5)
    for step in range(83, 100):
        made.add(record(step), timing(seconds=1.0))
    assert made.seconds_left == 0


def test_only_the_last_steps_count() -> None:
    made = window(SPEED_STEPS)
    for step in range(SPEED_STEPS):
        made.add(record(SPEED_STEPS + step), timing(seconds=0.25))
    assert made.speed is not None
    assert made.speed.tokens_per_second == pytest.approx(1024)
    recent = [record(SPEED_STEPS + step) for step in range(SPEED_STEPS)][-20:]
    nats = sum(step.by_language["Go"].nats for step in recent)
    assert made.tallies("language")["Go"] == Tally(pytest.approx(nats), 20 * 50)


def test_a_step_back_is_a_roll_back() -> None:
    made = window(30)
    made.add(record(20), timing())
    made.add(record(21, skipped="norm"), timing())
    assert (made.rollbacks, made.skipped_updates, made.steps) == (1, 1, 32)
    # The steps that were taken back are no part of means any more.
    assert made.mean_loss == pytest.approx((record(20).loss + record(21).loss) / 2)


def test_a_line_says_what_is_unusual_and_nothing_else() -> None:
    made = window(40)
    said = describe(made)
    rate = 512 * MODEL.flops_per_token(32) / 2e9
    assert said == f"loss {record(39).loss:.3f}  512 tokens/s  {rate:.0%} MFU  data wait 1.0%"
    made.add(record(40, gradient_norm=9.0, skipped="norm 9 times the median"), timing())
    said = describe(made)
    assert "gradient norm 9 (median 1" in said
    assert said.endswith("update left out: norm 9 times the median")
    made.add(record(41, validation=validation(5.0)), timing())
    assert "validation 5.167" in describe(made)
    made.add(record(42, gradient_norm=math.nan), timing())
    assert "gradient norm nan" in describe(made)
    assert "MFU" not in describe(window(3, peak_flops=None))


def test_every_figure_has_a_meaning_and_a_value() -> None:
    made = window(30)
    made.add(record(30, validation=validation(5.0), heads={"length": 0.3}), timing())
    found = figures_of(made)
    assert {figure.name for figure in found} == set(MEANINGS)
    for figure in found:
        assert bool(figure.of) == bool(MEANINGS[figure.name].label), figure
    assert found[Figure("loss")] == record(30).loss
    assert found[Figure("step")] == 31
    assert found[Figure("loss_by_language", "C++")] == pytest.approx(
        made.tallies("language")["C++"].loss
    )
    assert found[Figure("validation_loss_by_objective", "sfim")] == pytest.approx(5.5)
    made.add(record(31, gradient_norm=math.inf), timing())
    assert Figure("gradient_norm") not in figures_of(made)


def test_the_page_on_training_lists_every_figure(root: Path) -> None:
    page = (root / "docs" / "training.md").read_text()
    for name, meaning in MEANINGS.items():
        kind = "counter" if meaning.counts else "gauge"
        label = f"`{meaning.label}`" if meaning.label else ""
        assert f"| `{name}` | {kind} | {label} | {meaning.text} |" in page, name


def test_names_of_languages_stay_apart_in_trackers() -> None:
    names = ["C", "C++", "C#", "Cap'n Proto", "Jupyter Notebook", "Objective-C++"]
    paths = [Figure("loss_by_language", name).path for name in names]
    assert len(set(paths)) == len(names)
    assert paths[1] == "loss_by_language/Cpp"
    assert all(set(path) <= set(path) - set("+#'") for path in paths)
