"""Exports are whole, load in other programs, and replace nothing unasked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from tests.model.gguf.models import greedy
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from treespan.model.checkpoint import Checkpoint, load_checkpoint
from treespan.model.export import Format, default_out, export, local_out
from treespan.model.gguf.reader import read_gguf
from treespan.platform.cli import app
from treespan.platform.errors import UserError

PROMPT = [1, 40, 111, 40, 217, 300, 301, 9, 55, 120, 40, 17]
CODE = "def area(width):\n    return width * 12\n"


def test_transformers_generates_the_same(
    tmp_path: Path, checkpoint_folder: Path, checkpoint: Checkpoint
) -> None:
    done = export(checkpoint_folder, tmp_path / "model", "hf")
    assert (done.dtype, done.cut_differently) == ("f32", 0)
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert peer.generation_config.eos_token_id == sorted(
        checkpoint.tokenizer.id_of(name) for name in checkpoint.fim_format.special_tokens()
    )
    theirs = peer.generate(torch.tensor([PROMPT]), max_new_tokens=20)[0, len(PROMPT) :].tolist()
    assert theirs == greedy(checkpoint.model, PROMPT, 20)[: len(theirs)]
    assert len(theirs) > 4
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer(CODE).input_ids == checkpoint.tokenizer.encode(CODE)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("dtype", ["bf16", "f16"])
def test_a_folder_in_another_type(
    tmp_path: Path, checkpoint_folder: Path, checkpoint: Checkpoint, dtype: str
) -> None:
    export(checkpoint_folder, tmp_path / "model", "hf", dtype)  # type: ignore[arg-type]
    wanted = {"bf16": torch.bfloat16, "f16": torch.float16}[dtype]
    found = load_checkpoint(tmp_path / "model")
    assert torch.equal(found.model.output_weight, checkpoint.model.output_weight.to(wanted))
    assert found.fim_format == checkpoint.fim_format
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "model").dtype == wanted


def test_nothing_is_replaced_unasked(tmp_path: Path, checkpoint_folder: Path) -> None:
    out = tmp_path / "model"
    export(checkpoint_folder, out, "hf")
    with pytest.raises(UserError, match="exists already"):
        export(checkpoint_folder, out, "hf")
    export(checkpoint_folder, out, "hf", "bf16", force=True)
    with pytest.raises(UserError, match="the checkpoint itself"):
        export(out, out, "hf", force=True)
    with pytest.raises(UserError, match="cannot be q8_0"):
        export(checkpoint_folder, tmp_path / "other", "hf", "q8_0")
    with pytest.raises(UserError, match="no checkpoint folder"):
        export(tmp_path / "none", tmp_path / "other", "hf")
    assert load_checkpoint(out)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("form", ["hf", "gguf"])
def test_force_replaces_nothing_but_exports(
    tmp_path: Path, checkpoint_folder: Path, form: Format
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    kept = home / "thesis.txt"
    kept.write_text("years of work")
    almost = tmp_path / "model"
    export(checkpoint_folder, almost, "hf")
    (almost / "notes.md").write_text("mine")
    (tmp_path / "link.gguf").symlink_to(kept)
    for out in (home, kept, almost, tmp_path / "link.gguf"):
        with pytest.raises(UserError, match=f"is not what --format {form} replaces"):
            export(checkpoint_folder, out, form, force=True)
    assert kept.read_text() == "years of work"
    assert (almost / "notes.md").exists()


def test_an_empty_folder_is_filled(tmp_path: Path, checkpoint_folder: Path) -> None:
    export(checkpoint_folder, tmp_path, "hf", force=True)
    assert load_checkpoint(tmp_path)


@pytest.mark.parametrize("form", ["hf", "gguf"])
@pytest.mark.parametrize(
    ("out", "problem"),
    [
        ("store/checkpoint", "the checkpoint itself"),
        ("store/../store", "holds the checkpoint"),
        ("linked", "holds the checkpoint"),
        ("store/checkpoint/deeper/model", "lies in the checkpoint"),
    ],
)
def test_an_export_stays_apart_from_its_checkpoint(
    tmp_path: Path, checkpoint_folder: Path, form: Format, out: str, problem: str
) -> None:
    folder = tmp_path / "store" / "checkpoint"
    shutil.copytree(checkpoint_folder, folder)
    (tmp_path / "linked").symlink_to(tmp_path / "store")
    with pytest.raises(UserError, match=problem):
        export(folder, tmp_path / out, form, force=True)
    assert load_checkpoint(folder)


@pytest.mark.parametrize("form", ["hf", "gguf"])
@pytest.mark.parametrize("parent", ["file", "file/deeper", "x" * 300])
def test_a_place_that_cannot_be_written(
    tmp_path: Path, checkpoint_folder: Path, form: Format, parent: str
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written.*--out"):
        export(checkpoint_folder, tmp_path / parent / "model", form)


@pytest.mark.parametrize("uri", ["s3://bucket/model", "file:///tmp/model", "gs://user:pw@b/m"])
def test_a_uri_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match="Give a local path") as refused:
        local_out(uri)
    assert "pw" not in str(refused.value)


def test_the_command(tmp_path: Path, checkpoint_folder: Path, checkpoint: Checkpoint) -> None:
    out = tmp_path / "new" / "model.gguf"
    command = ["export", str(checkpoint_folder), "--format", "gguf", "--out", str(out)]
    told = CliRunner().invoke(app, [*command, "--dtype", "q8_0"])
    assert told.exit_code == 0, told.output
    assert f"llama-server -m {out}" in told.stdout
    assert "llama.cpp has no pre-tokenizer" in told.stdout
    assert read_gguf(out).config.hidden_size == checkpoint.config.hidden_size
    replaced = CliRunner().invoke(app, [*command, "--force", "--json"])
    found = json.loads(replaced.stdout)
    assert found["dtype"] == "f32"
    assert found["bytes"] == out.stat().st_size
    assert found["parameters"] == checkpoint.config.num_parameters


@pytest.mark.parametrize(
    ("where", "name"),
    [("out/train/3f/checkpoint", "3f.gguf"), ("s3://b/model/?scheme=http", "model.gguf")],
)
def test_where_it_goes_unless_told(where: str, name: str) -> None:
    assert default_out(where, "gguf", None) == Path(name)
    assert default_out(where, "hf", "f16") == Path(name.removesuffix(".gguf") + "-f16-hf")
