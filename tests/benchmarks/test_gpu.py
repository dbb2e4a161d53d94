"""The benchmark of a GPU at toy size: it finds what is right, and survives what goes wrong."""

import json
import math
from pathlib import Path

import pytest
import torch
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.attention_speed import compare
from benchmarks.gpu.correctness import measure
from benchmarks.gpu.figures import Figure, Recorder, read, save
from benchmarks.gpu.offload import fitted
from benchmarks.gpu.rows import random_documents
from benchmarks.gpu.scales import Attention, Scale, gpu, toy
from benchmarks.gpu.stages import Stage, run, stages

from treespan.model import packed_attention


def by_name(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.what: figure for figure in figures}


def test_everything_is_right_on_a_cpu(tmp_path: Path) -> None:
    measure(toy(), Recorder("correctness", tmp_path / "found"))
    found = by_name(read(tmp_path / "found"))
    assert {what for what, figure in found.items() if figure.passed} == {
        "attention by sdpa, with gradients",
        "attention by documents, with gradients",
        "loss in chunks against the formula, with gradients",
        "logits against transformers, float32",
        "error of ours in bfloat16",
    }
    assert "backward" in str(found["attention by flex"].value)


def test_wrong_attention_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that lets documents see each other."""
    reference = packed_attention._Sdpa
    monkeypatch.setattr(
        packed_attention,
        "_Documents",
        lambda lengths: reference(torch.zeros(2, sum(lengths[0]), dtype=torch.int64)),
    )
    measure(toy(), Recorder("correctness", tmp_path / "found"))
    found = by_name(read(tmp_path / "found"))
    assert found["attention by documents, with gradients"].passed is False
    assert found["attention by sdpa, with gradients"].passed is True


def test_back_ends_are_timed_where_they_run(tmp_path: Path) -> None:
    shape = Attention(2, 64, 4, 2, 16, (1, 3))
    compare(shape, torch.device("cpu"), Recorder("attention", tmp_path / "found"))
    found = by_name(read(tmp_path / "found"))
    assert {what.rsplit(", ", 1)[1] for what in found if "3 documents" in what} == {
        "sdpa",
        "documents",
        "auto",
        "times causal",
    }


def test_a_stage_trains_in_a_process_of_its_own(tmp_path: Path) -> None:
    (stage, *_) = (stage for stage in stages(toy()) if stage.name == "training")
    found = by_name(run(stage, "toy", tmp_path))
    assert "failed" not in found, found["failed"]
    assert float(found["tokens per second"].value) > 0


def test_a_stage_that_fails_or_hangs_is_shown_and_stopped(tmp_path: Path) -> None:
    (failed,) = run(Stage("training", 60, "no such case"), "toy", tmp_path)
    assert (failed.what, failed.passed) == ("failed", False)
    assert "no such case" in str(failed.value)
    (stopped,) = run(Stage("correctness", 0.2), "toy", tmp_path)
    assert stopped.value == "stopped after 0.2 s"


def test_the_table_says_what_was_not_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = Recorder("speed", tmp_path / "found")
    recorder.at_least("fast enough", 0.2, 0.5)
    recorder.at_most("a number", math.nan, 1.0)
    recorder.show("device", "none")
    with (tmp_path / "found").open("a") as file:
        file.write('{"stage": "cut sho')
    figures = read(tmp_path / "found")
    assert [figure.passed for figure in figures] == [False, False, None]
    monkeypatch.setattr("benchmarks.gpu.__main__.run", lambda *_: figures)
    assert main(["--toy", "--stages", "environment", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().out.count("NOT MET") == 2
    assert len(json.loads((tmp_path / "gpu.json").read_text())) == 3
    save([figures[2]], tmp_path, show=False)
    assert "NOT MET" not in (tmp_path / "gpu.txt").read_text()


@pytest.mark.parametrize("scale", [gpu(), toy()])
def test_all_limits_together_are_under_ten_minutes(scale: Scale) -> None:
    assert sum(stage.limit for stage in stages(scale)) < 600.0


def test_blocks_are_left_out_until_the_host_holds_them() -> None:
    shape = gpu().offloaded
    assert fitted(shape, 1e12) == shape
    fewer = fitted(shape, 100e9)
    assert fewer.num_parameters * 18 <= 100e9 < (fewer.num_parameters + fewer.layer_parameters) * 18
    assert fitted(shape, 1).num_layers == 1


def test_rows_are_full_of_documents() -> None:
    ids = random_documents(3, 50, 7)
    assert ids.shape == (3, 50)
    assert all(row.unique().numel() == 7 and (row.diff() >= 0).all() for row in ids)
