"""The checkpoint contract: read back by us and by transformers, and every damage named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaForCausalLM

from treespan.model.checkpoint import (
    Checkpoint,
    check_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat
from treespan.model.tokenizer import Tokenizer, train
from treespan.model.transformer import Transformer, init_weights
from treespan.platform.errors import UserError

CODE = "def area(width, height):\n    return width * height  # 12 naïve π\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train([CODE] * 4, vocab_size=280, special_tokens=FimFormat().special_tokens())


def write(folder: Path, tokenizer: Tokenizer, *, tied: bool = False) -> Transformer:
    config = ModelConfig(
        vocab_size=304,
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        max_positions=128,
        tie_embeddings=tied,
        init_std=0.2,
    )
    model = Transformer(config)
    init_weights(model, 0)
    provenance = {"tokens": 12, "recipe": "tiny"}
    save_checkpoint(folder, config, model.state_dict(), tokenizer, FimFormat(), provenance)
    return model.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write(folder, tokenizer)
    return folder


def logits(checkpoint: Checkpoint) -> torch.Tensor:
    tokens = torch.tensor([checkpoint.tokenizer.encode(CODE)])
    with torch.no_grad():
        return checkpoint.model.project(checkpoint.model(tokens))


@pytest.mark.parametrize("tied", [False, True])
def test_what_is_saved_is_loaded(tmp_path: Path, tokenizer: Tokenizer, tied: bool) -> None:
    model = write(tmp_path, tokenizer, tied=tied)
    loaded = load_checkpoint(tmp_path)
    assert loaded.config == model.config
    assert loaded.fim_format == FimFormat()
    assert loaded.provenance == {"tokens": 12, "recipe": "tiny"}
    assert loaded.tokenizer.serialized == tokenizer.serialized
    assert not loaded.model.training
    weights, expected = loaded.model.state_dict(), model.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    tied_now = loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
    assert tied_now == tied


@pytest.mark.parametrize("tied", [False, True])
def test_transformers_reads_it(tmp_path: Path, tokenizer: Tokenizer, tied: bool) -> None:
    write(tmp_path, tokenizer, tied=tied)
    loaded = load_checkpoint(tmp_path)
    peer = LlamaForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        theirs = peer(torch.tensor([tokenizer.encode(CODE)])).logits
    torch.testing.assert_close(logits(loaded), theirs, atol=1e-5, rtol=1e-5)
    assert theirs.std() > 0.1
    assert peer.config.eos_token_id == tokenizer.id_of("</s>")


def test_transformers_splits_text_the_same(saved: Path, tokenizer: Tokenizer) -> None:
    peer = AutoTokenizer.from_pretrained(saved)
    assert peer(CODE, add_special_tokens=False).input_ids == tokenizer.encode(CODE)
    assert peer.decode(tokenizer.encode(CODE)) == CODE


def test_a_format_without_bos(tmp_path: Path, saved: Path) -> None:
    fim_format = FimFormat.model_validate("qwen2.5-coder")
    tokenizer = train([CODE] * 4, vocab_size=280, special_tokens=fim_format.special_tokens())
    model = load_checkpoint(saved)
    save_checkpoint(tmp_path, model.config, model.model.state_dict(), tokenizer, fim_format, {})
    assert load_checkpoint(tmp_path).fim_format == fim_format
    assert LlamaForCausalLM.from_pretrained(tmp_path).config.bos_token_id is None
    peer = AutoTokenizer.from_pretrained(tmp_path)
    assert peer.bos_token is None
    assert peer(CODE).input_ids == tokenizer.encode(CODE)


def test_equal_contents_are_equal_bytes(tmp_path: Path, tokenizer: Tokenizer) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, tokenizer)
    first = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert first == second


def test_dtype_is_a_choice_when_loading(saved: Path) -> None:
    model = load_checkpoint(saved, dtype=torch.bfloat16).model
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_bfloat16_is_kept(saved: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(saved, dtype=torch.bfloat16)
    save_checkpoint(
        tmp_path,
        loaded.config,
        loaded.model.state_dict(),
        loaded.tokenizer,
        loaded.fim_format,
        {},
    )
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert load_checkpoint(tmp_path).model.output_weight.dtype == torch.bfloat16


def edit_json(name: str, **values: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return edit


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path, metadata={"format": "pt"})

    return edit


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def garble(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(b"\xff{ no")  # type: ignore[return-value]


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (remove("treespan.json"), "treespan.json missing"),
        (remove("model.safetensors"), "model.safetensors missing"),
        (truncate, "model.safetensors is damaged or incomplete"),
        (garble("model.safetensors"), "model.safetensors is damaged or incomplete"),
        (garble("config.json"), "config.json is no JSON"),
        (garble("tokenizer.json"), "tokenizer cannot be read"),
        (garble("fim_format.json"), "fim_format.json is no JSON"),
        (edit_json("treespan.json", format_version=1), "has format version 1, .* reads 2"),
        (edit_json("config.json", model_type="qwen2"), "'qwen2', only 'llama'"),
        (edit_json("config.json", hidden_size="wide"), "'?hidden_size"),
        (edit_json("config.json", hidden_size=64, head_dim=16), "has shape .*304, 32.*304, 64"),
        (edit_json("config.json", head_dim=5), "head_dim 5"),
        (edit_json("config.json", attention_bias=True), "attention_bias"),
        (edit_json("config.json", rope_parameters={"rope_type": "yarn"}), "rope scaling 'yarn'"),
        (edit_json("config.json", vocab_size=279), "tokenizer has 280 ids, the model only 279"),
        (edit_json("config.json", num_hidden_layers=3), "lacks 9 tensors, first model.layers.2"),
        (edit_json("fim_format.json", prefix="<PRE>"), "no token '<PRE>'"),
        (edit_json("fim_format.json", prefx="<PRE>"), "Did you mean 'prefix'"),
        (edit_weights(lambda t: t.pop("model.norm.weight")), "lacks 1 tensors"),
        (edit_weights(lambda t: t.update(x=torch.ones(1))), "does not have, first x"),
    ],
)
def test_damage_is_named(
    saved: Path, tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(saved, folder)
    damage(folder)
    with pytest.raises(UserError, match=problem) as caught:
        check_checkpoint(folder)
    assert caught.value.fix
    with pytest.raises(UserError, match=problem):
        load_checkpoint(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint folder"):
        check_checkpoint(tmp_path / "nowhere")


def test_a_wrong_state_is_not_saved(tmp_path: Path, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    state = {name: tensor for name, tensor in loaded.model.state_dict().items() if "norm" in name}
    with pytest.raises(UserError, match="the state to save lacks"):
        save_checkpoint(tmp_path, loaded.config, state, loaded.tokenizer, loaded.fim_format, {})
    assert not list(tmp_path.iterdir())
