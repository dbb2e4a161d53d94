"""The resume matrix: ZeRO stage and number of workers before, and both after.

Control runs go undisturbed on every number of workers and ZeRO stage. Then each state from their
middle is taken up again, once by the same split, which must give the same bits, and once by other
workers and another stage, so that all pairs of numbers and all pairs of stages occur.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.jobs.train.gloo_group import in_group
from tests.jobs.train.small_run import make_worker, settings, write_shards

from treespan.jobs.train.step_record import StepRecord

WORLDS, STAGES = (1, 2, 3, 4), (0, 1, 2, 3)
STEPS, MIDDLE = 4, 2
BOUND = 2e-3
"""Nats. Weights are bfloat16 between updates, gradients are summed in another order: a difference
of one bit there moves a loss by some ten-thousandths."""

Case = tuple[str, int, str]
"""Where the run's states are, its ZeRO stage, and where its history goes."""


def train_cases(rank: int, world: int, folder: Path, cases: list[Case], until: int) -> None:
    for states, stage, result in cases:
        execution = {"num_workers": world, "zero_stage": stage, "micro_batch": 1}
        config = settings(steps=STEPS, checkpoints={"every_steps": MIDDLE}, execution=execution)
        worker = make_worker(folder, config, rank, world, states=states)
        worker.run(until)
        if rank == 0:
            history = [record.to_dict() for record in worker.history]
            (folder / result).write_text(json.dumps(history))


def control(world: int, stage: int) -> str:
    return f"control-{world}-{stage}"


def resumed(before: tuple[int, int], after: tuple[int, int]) -> str:
    return f"resumed-{before[0]}-{before[1]}-to-{after[0]}-{after[1]}"


def pairs() -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Each (workers, stage) by itself, and a latin square of the two before and after."""
    same = [((world, stage), (world, stage)) for world in WORLDS for stage in STAGES]
    other = [
        ((before, before - 1), (after, (after - 1 + before) % 4))
        for before in WORLDS
        for after in WORLDS
    ]
    return [*same, *(pair for pair in other if pair[0] != pair[1])]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    write_shards(folder)
    for world in WORLDS:
        cases = [(control(world, s), s, f"{control(world, s)}.json") for s in STAGES]
        in_group(world, train_cases, folder, folder, cases, STEPS)
    for before, after in pairs():
        source, target = folder / control(*before), folder / resumed(before, after)
        # What a run leaves that was killed after its middle.
        target.mkdir()
        shutil.copytree(source / f"a001-step-{MIDDLE:08d}", target / f"a001-step-{MIDDLE:08d}")
    for world in WORLDS:
        going_on = [pair for pair in pairs() if pair[1][0] == world]
        cases = [(resumed(*pair), pair[1][1], f"{resumed(*pair)}.json") for pair in going_on]
        in_group(world, train_cases, folder, folder, cases, STEPS)
    return folder


def history(runs: Path, name: str) -> list[StepRecord]:
    return [
        StepRecord.from_dict(values) for values in json.loads((runs / f"{name}.json").read_text())
    ]


@pytest.mark.parametrize(("before", "after"), pairs())
def test_resume(runs: Path, before: tuple[int, int], after: tuple[int, int]) -> None:
    undisturbed = history(runs, control(*before))
    went_on = history(runs, resumed(before, after))
    assert len(went_on) == STEPS
    assert went_on[:MIDDLE] == undisturbed[:MIDDLE]
    if before == after:
        assert went_on == undisturbed
        return
    for ours, theirs in zip(went_on, undisturbed, strict=True):
        assert ours.targets == theirs.targets
        assert ours.by_language.keys() == theirs.by_language.keys()
        assert ours.loss == pytest.approx(theirs.loss, abs=BOUND)


def losses(runs: Path) -> list[list[float]]:
    names = [control(world, stage) for world in WORLDS for stage in STAGES]
    return [[record.loss for record in history(runs, name)] for name in names]


def test_the_split_changes_nothing_but_rounding(runs: Path) -> None:
    first: Any = losses(runs)[0]
    assert first[-1] < first[0] - 0.2
    for other in losses(runs)[1:]:
        assert other == pytest.approx(first, abs=BOUND)
