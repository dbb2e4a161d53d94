"""``treespan plan`` as a person runs it."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from treespan.jobs.train.config import ExecutionConfig
from treespan.jobs.train.hardware import peak_flops
from treespan.platform.cli import app

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


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plan", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


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
    small = ["train.preset=nano", "pack.seq_len=64", "tokenize.vocab_size=512"]
    small += ["train.global_batch=2", "train.execution.num_workers=1", "train.tokens=12800"]
    settings = [part for value in small for part in ("--set", value)]
    found = json.loads(run(str(recipe), *settings, "--json"))
    assert found["suggested"]["fits"]
    assert found["price_per_device_hour"] is None
    assert 0 < found["suggested"]["mfu"] < 1
    peak = peak_flops(torch.device("cpu"))
    assert peak is not None
    assert peak > 1e9
