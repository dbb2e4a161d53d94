"""Workers that share rows (sequence parallelism) train as one worker on whole rows does."""

import json
from pathlib import Path

import pytest
from tests.jobs.train.gloo_group import in_group
from tests.jobs.train.small_run import make_worker, settings, write_shards

from treespan.jobs.train.step_record import StepRecord

HEADS = {"length_weight": 0.1}


def train(rank: int, world: int, folder: Path, shared: int, result: str) -> None:
    execution = {"num_workers": world, "zero_stage": 2, "sequence_parallel": shared}
    config = settings(steps=3, precision="fp32", heads=HEADS, execution=execution)
    worker = make_worker(folder, config, rank, world, states=result)
    worker.run()
    if rank == 0:
        (folder / result).with_suffix(".json").write_text(
            json.dumps([record.to_dict() for record in worker.history])
        )


def test_shared_rows_train_like_whole_ones(tmp_path: Path) -> None:
    write_shards(tmp_path)
    in_group(1, train, tmp_path, tmp_path, 1, "whole")
    in_group(2, train, tmp_path, tmp_path, 2, "pair")
    in_group(4, train, tmp_path, tmp_path, 2, "pairs")
    whole, *others = (
        [
            StepRecord.from_dict(values)
            for values in json.loads((tmp_path / f"{name}.json").read_text())
        ]
        for name in ("whole", "pair", "pairs")
    )
    for other in others:
        for ours, theirs in zip(other, whole, strict=True):
            assert ours.targets == theirs.targets
            assert ours.loss == pytest.approx(theirs.loss, abs=1e-5)
            assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-4)
            assert ours.heads["length"] == pytest.approx(theirs.heads["length"], abs=1e-5)
