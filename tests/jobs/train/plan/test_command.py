"""``treespan plan`` as a person runs it."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from treespan.jobs.train.config import ExecutionConfig
from treespan.jobs.train.hardware import accelerator, peak_flops
from treespan.jobs.train.plan.device import TableDevice
from treespan.jobs.train.plan.estimate import estimate
from treespan.jobs.train.plan.setting import Job, Setting
from treespan.jobs.train.plan.tables import Plan, paste
from treespan.model.checkpoint import Checkpoint
from treespan.model.config import preset
from treespan.platform.cli import app
from treespan.platform.errors import UserError

PAPER = {
    "name": "paper",
    "ingest": {"sources": [{"kind": "python-environment"}]},
    "tokenize": {"vocab_size": 49_152},
    "pack": {"seq_len": 32_768},
    "train": {
        "preset": "7b",
        "tokens": 1_200_000_000_000,
        "global_batch": 512,
        "execution": {"num_workers": 128, "use_gpu": True},
    },
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump(PAPER))
    return path


def run(*arguments: str, code: int = 0) -> str:
    runner = CliRunner(env={"COLUMNS": "80"})
    result = runner.invoke(app, ["plan", *arguments], catch_exceptions=False)
    assert result.exit_code == code
    return result.output


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


SMALL = settings(
    "train.preset=nano",
    "pack.seq_len=64",
    "tokenize.vocab_size=512",
    "train.global_batch=2",
    "train.execution.num_workers=1",
    "train.tokens=12800",
)


def test_plan_of_the_papers_run(recipe: Path) -> None:
    found = json.loads(run(str(recipe), "--gpu", "a100-40g", "--gpus", "128", "--json"))
    assert found["model"]["parameters"] == 7_432_572_928
    assert found["job"]["steps"] == 71_526
    assert not found["recipe"]["fits"]
    assert any("does not fit" in warning for warning in found["warnings"])
    suggested = found["suggested"]
    assert suggested["fits"]
    assert 20 < suggested["days"] < 120
    assert found["price_is_assumed"]
    ExecutionConfig.model_validate(suggested["execution"])


def test_a_price_of_ones_own_is_no_assumption(recipe: Path) -> None:
    arguments = [str(recipe), "--gpu", "a100-40g", "--gpus", "128", "--price", "2", "--json"]
    found = json.loads(run(*arguments))
    suggested = found["suggested"]
    assert not found["price_is_assumed"]
    assert suggested["cost"] == pytest.approx(suggested["days"] * 24 * 128 * 2)


def test_tables_end_with_yaml_to_paste(recipe: Path) -> None:
    said = run(str(recipe), "--gpu", "a100-40g")
    assert "7,432,572,928" in said
    assert "by number of devices" in said
    pasted = yaml.safe_load(said[said.index("train:\n") :])
    changed = yaml.safe_dump({**PAPER, "train": {**PAPER["train"], **pasted["train"]}})  # type: ignore[dict-item]
    recipe.write_text(changed)
    assert "The recipe's setting is the one to suggest" in run(str(recipe), "--gpu", "a100-40g")


def test_a_cpu_is_measured(recipe: Path) -> None:
    found = json.loads(run(str(recipe), *SMALL, "--json"))
    assert found["suggested"]["fits"]
    assert found["price_per_device_hour"] is None
    assert 0 < found["suggested"]["mfu"] < 1
    peak = peak_flops(torch.device("cpu"))
    assert peak is not None
    assert peak > 1e9


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gpu", "A100-40G"],
        ["--gpu", "B200", "--price", "1000"],
        ["--gpu", "H100", *settings("pack.seq_len=2048", "train.global_batch=2048")],
        ["--gpu", "l40s", *SMALL],
    ],
)
def test_tables_are_whole_in_80_columns(recipe: Path, arguments: list[str]) -> None:
    said = run(str(recipe), *arguments)
    tables = [line for line in said.splitlines() if line[:1] in tuple("┃┡│└┏┌├")]
    assert len(tables) > 40
    assert max(map(len, tables)) <= 80
    assert "…" not in said


def test_small_runs_are_told_in_seconds_and_cents(recipe: Path) -> None:
    said = run(str(recipe), "--gpu", "h100", *SMALL, "--price", "90")
    (whole,) = re.findall(r"the whole run +│ +([\d.]+) (\w+)", said)
    (cost,) = re.findall(r"│ cost +│ +\$([\d.]+)", said)
    found = json.loads(run(str(recipe), "--gpu", "h100", *SMALL, "--price", "90", "--json"))
    assert whole[1] == "s"
    assert float(whole[0]) == pytest.approx(found["recipe"]["days"] * 86_400, rel=0.01)
    assert float(cost) == pytest.approx(found["recipe"]["cost"], abs=0.005)


def test_what_is_the_same_in_all_lines_is_told_once(recipe: Path) -> None:
    said = run(str(recipe), "--gpu", "a100-40g", "--gpus", "128")
    assert "all: rows 1" in said
    (header,) = re.findall(r"┃ +step ┃(.*)┃", said)
    assert "shared" in header
    assert "rows" not in header


def test_code_1_where_nothing_fits(recipe: Path) -> None:
    alone = [str(recipe), "--gpu", "rtx4090", "--gpus", "1"]
    assert "Nothing fits 1 × rtx4090." in run(*alone, code=1)
    found = json.loads(run(*alone, "--json", code=1))
    assert not found["fits"]
    assert found["suggested"] is None


def test_the_shape_is_that_of_the_starting_weights(
    recipe: Path, checkpoint_folder: Path, checkpoint: Checkpoint
) -> None:
    start = settings(f"train.start_from={checkpoint_folder}")
    found = json.loads(run(str(recipe), "--gpu", "h100", *SMALL, *start, "--json"))
    assert found["model"]["parameters"] == checkpoint.config.num_parameters
    assert found["suggested"]["fits"]
    long = settings("pack.seq_len=1024")
    with pytest.raises(UserError, match="exceeds the 256 positions"):
        run(str(recipe), "--gpu", "h100", *SMALL, *start, *long)


@pytest.mark.parametrize("name", ["none", "none.gguf", "damaged.gguf"])
def test_weights_that_cannot_be_read(recipe: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "damaged.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match=name):
        run(str(recipe), "--gpu", "h100", *SMALL, *settings(f"train.start_from={tmp_path / name}"))


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["last_step=pack"], r"ends with pack, before it trains.*--set last_step=train"),
        (["train.execution.sequence_parallel=64"], "32 heads cannot be shared by 64 workers"),
        (
            ["pack.seq_len=72", "train.execution.sequence_parallel=16"],
            "rows of 72 tokens cannot be shared by 16 workers",
        ),
    ],
)
def test_what_would_not_run_is_refused(recipe: Path, overrides: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        run(str(recipe), "--gpu", "h100", *settings(*overrides))


def test_an_invented_folder_is_marked() -> None:
    job = Job(preset("nano", vocab_size=512), seq_len=64, global_batch=2, steps=1)
    setting = Setting(2, zero_stage=3, offload="nvme")
    found = estimate(job, setting, TableDevice("h100", accelerator("h100")))
    plan = Plan("2 × h100", None, False, found, found, [], [], [], [], True)
    assert "    nvme_folder: /mnt/nvme  # yours\n" in paste(plan)
    ExecutionConfig.model_validate(yaml.safe_load(paste(plan))["train"]["execution"])
