"""The checkpoint contract: read back by us and by transformers, and every damage named."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, Qwen2ForCausalLM

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


SHAPE = {
    "vocab_size": 304,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "max_positions": 128,
    "init_std": 0.2,
}


def random_model(*, tied: bool = False, **changes: object) -> Transformer:
    model = Transformer(ModelConfig.model_validate({**SHAPE, "tie_embeddings": tied, **changes}))
    init_weights(model, 0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def write(
    folder: Path,
    tokenizer: Tokenizer,
    *,
    max_shard_bytes: int = 5_000_000_000,
    tied: bool = False,
    **changes: object,
) -> Transformer:
    model = random_model(tied=tied, **changes)
    provenance = {"tokens": 12, "recipe": "tiny"}
    save_checkpoint(
        folder,
        model.config,
        model.state_dict(),
        tokenizer,
        FimFormat(),
        provenance,
        max_shard_bytes=max_shard_bytes,
    )
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write(folder, tokenizer)
    return folder


def logits(checkpoint: Checkpoint) -> torch.Tensor:
    tokens = torch.tensor([checkpoint.tokenizer.encode(CODE)])
    with torch.no_grad():
        return checkpoint.model.project(checkpoint.model(tokens))


YARN = {"kind": "yarn", "factor": 4.0, "original_positions": 16}
LLAMA3 = {"kind": "llama3", "factor": 8.0, "original_positions": 16}
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "tied": {"tied": True},
    "shards": {"max_shard_bytes": 20_000},
    "tied shards": {"tied": True, "max_shard_bytes": 20_000, "rope_scaling": LLAMA3},
    "qwen2": {"attention_bias": "qkv", "rope_scaling": YARN},
    "qwen2 shards": {"attention_bias": "qkv", "max_shard_bytes": 1, "tied": True},
    "llama with biases": {"attention_bias": "all", "head_width": 12},
    "linear": {"rope_scaling": {"kind": "linear", "factor": 2.0}},
    "qwen2 with head width": {"attention_bias": "qkv", "head_width": 12, "num_heads": 6},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_saved_is_loaded(tmp_path: Path, tokenizer: Tokenizer, variant: str) -> None:
    model = write(tmp_path, tokenizer, **VARIANTS[variant])  # type: ignore[arg-type]
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
    assert tied_now == model.config.tie_embeddings


@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_reads_it(tmp_path: Path, tokenizer: Tokenizer, variant: str) -> None:
    model = write(tmp_path, tokenizer, **VARIANTS[variant])  # type: ignore[arg-type]
    peer, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    qwen2 = model.config.attention_bias == "qkv"
    assert isinstance(peer, Qwen2ForCausalLM if qwen2 else LlamaForCausalLM)
    tokens = torch.tensor([tokenizer.encode(CODE)])
    with torch.no_grad():
        theirs = peer(tokens).logits
        torch.testing.assert_close(model.project(model(tokens)), theirs, atol=1e-5, rtol=1e-5)
        assert theirs.std() > 0.1
        # 16 tokens greedily, beyond the original window of the scaled ones.
        expected = peer.generate(tokens, max_new_tokens=16, do_sample=False, eos_token_id=-1)
        ours = tokens
        for _ in range(16):
            best = model.project(model(ours)[:, -1:]).argmax(-1)
            ours = torch.cat((ours, best), dim=1)
    assert ours.tolist() == expected.tolist()
    assert peer.config.eos_token_id == tokenizer.id_of("</s>")


def test_the_index_is_transformers(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write(tmp_path / "ours", tokenizer, max_shard_bytes=30_000)
    peer = LlamaForCausalLM.from_pretrained(tmp_path / "ours")
    peer.save_pretrained(tmp_path / "theirs", max_shard_size=30_000)
    index, wanted = (
        json.loads((tmp_path / name / "model.safetensors.index.json").read_text())
        for name in ("ours", "theirs")
    )
    assert index["metadata"] == wanted["metadata"]
    assert index["weight_map"].keys() == wanted["weight_map"].keys()
    for folder in ("ours", "theirs"):
        files = sorted((tmp_path / folder).glob("*.safetensors"))
        names = [f"model-{n + 1:05d}-of-{len(files):05d}.safetensors" for n in range(len(files))]
        assert [path.name for path in files] == names
        assert len(files) > 2
    for name, file in index["weight_map"].items():
        assert name in load_file(tmp_path / "ours" / file)


def test_an_iterator_is_never_held_as_a_whole(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = random_model(num_layers=8)
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def items() -> Iterator[tuple[str, torch.Tensor]]:
        nonlocal most
        for name, tensor in model.state_dict().items():
            copy = tensor.clone()
            alive.append(weakref.ref(copy))
            most = max(most, sum(t.nbytes for ref in alive if (t := ref()) is not None))
            yield name, copy
            del copy

    save_checkpoint(
        tmp_path, model.config, items(), tokenizer, FimFormat(), {}, max_shard_bytes=60_000
    )
    assert sum(tensor.nbytes for tensor in model.state_dict().values()) > 300_000
    assert most <= 2 * 60_000
    loaded = load_checkpoint(tmp_path).model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


def test_slices_of_one_buffer_are_saved(tmp_path: Path, tokenizer: Tokenizer) -> None:
    """As an optimizer gives them that keeps all weights in one flat tensor."""
    state = random_model().state_dict()
    flat = torch.cat([tensor.flatten() for tensor in state.values()])
    slices = flat.split([tensor.numel() for tensor in state.values()])
    views = {name: part.view(state[name].shape) for name, part in zip(state, slices, strict=True)}
    save_checkpoint(tmp_path, random_model().config, views, tokenizer, FimFormat(), {})
    loaded = load_checkpoint(tmp_path).model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_fewer_shards_replace_more(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write(tmp_path, tokenizer, max_shard_bytes=1)
    write(tmp_path, tokenizer, tied=True)
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]
    assert load_checkpoint(tmp_path).config.tie_embeddings


def test_what_fails_halfway_leaves_the_old_checkpoint(
    tmp_path: Path, saved: Path, tokenizer: Tokenizer
) -> None:
    model = random_model(attention_bias="qkv")

    def failing() -> Iterator[tuple[str, torch.Tensor]]:
        for number, item in enumerate(model.state_dict().items()):
            if number == 12:
                raise RuntimeError("a worker was lost")
            yield item

    def save(folder: Path) -> None:
        save_checkpoint(
            folder, model.config, failing(), tokenizer, FimFormat(), {}, max_shard_bytes=5_000
        )

    with pytest.raises(RuntimeError, match="a worker was lost"):
        save(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    shutil.copytree(saved, tmp_path / "old")
    with pytest.raises(RuntimeError, match="a worker was lost"):
        save(tmp_path / "old")
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before


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
        (remove("model.safetensors"), "has no weights"),
        (truncate, "model.safetensors is damaged or incomplete"),
        (garble("model.safetensors"), "model.safetensors is damaged or incomplete"),
        (garble("config.json"), "config.json is no JSON"),
        (garble("tokenizer.json"), "tokenizer cannot be read"),
        (garble("fim_format.json"), "fim_format.json is no JSON"),
        (edit_json("treespan.json", format_version=1), "has format version 1, .* reads 2"),
        (edit_json("config.json", model_type="gpt2"), "'gpt2', only 'llama' and 'qwen2'"),
        (edit_json("config.json", model_type="qwen2"), "6 tensors are missing, .*k_proj.bias"),
        (edit_json("config.json", hidden_size="wide"), "'?hidden_size"),
        (edit_json("config.json", hidden_size=64, head_dim=16), "has shape .*304, 32.*304, 64"),
        (edit_json("config.json", head_dim=5), "head width 5"),
        (edit_json("config.json", attention_bias=True), "8 tensors are missing, .*k_proj.bias"),
        (edit_json("config.json", rope_parameters={"rope_type": "longrope"}), "scaling 'longrope'"),
        (edit_json("config.json", vocab_size=279), "tokenizer has 280 ids, the model only 279"),
        (
            edit_json("config.json", num_hidden_layers=3),
            "9 tensors are missing, first model.layers.2",
        ),
        (edit_json("fim_format.json", prefix="<PRE>"), "no token '<PRE>'"),
        (edit_json("fim_format.json", prefx="<PRE>"), "Did you mean 'prefix'"),
        (edit_weights(lambda t: t.pop("model.norm.weight")), "1 tensors are missing"),
        (edit_weights(lambda t: t.update(x=torch.ones(1))), "1 of the tensors, first x"),
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


def test_a_damaged_index_is_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write(tmp_path, tokenizer, max_shard_bytes=30_000)
    index = tmp_path / "model.safetensors.index.json"
    text = index.read_text()
    (tmp_path / "outside").mkdir()
    for damaged, problem in [
        ("{", "is no index"),
        ("[]", "is no index"),
        (text.replace("model-00001", "model-00009"), "'model-00009-of-.*not beside it"),
        (text.replace("model-00001", "../model-00001"), "not beside it"),
    ]:
        index.write_text(damaged)
        with pytest.raises(UserError, match=problem):
            check_checkpoint(tmp_path)
    index.write_text(text)
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(UserError, match=r"'model-00002-of-.*not beside it"):
        check_checkpoint(tmp_path)


def test_a_wrong_state_is_not_saved(tmp_path: Path, saved: Path) -> None:
    loaded = load_checkpoint(saved)
    state = {name: tensor for name, tensor in loaded.model.state_dict().items() if "norm" in name}
    with pytest.raises(UserError, match=r"the state to save: .* missing"):
        save_checkpoint(tmp_path, loaded.config, state, loaded.tokenizer, loaded.fim_format, {})
    whole = loaded.model.state_dict()
    norm, twice = whole["model.norm.weight"], [*whole.items(), *whole.items()]
    for items, problem in [
        ([("model.norm.weight", norm[1:])], "norm.weight has shape .31., .* .32."),
        ([("norm", norm)], "1 of the tensors, first norm"),
        (twice, "has model.embed_tokens.weight twice"),
        ([("model.norm.weight", norm.double()), *whole.items()], "mixes"),
    ]:
        with pytest.raises(UserError, match=problem):
            save_checkpoint(tmp_path, loaded.config, items, loaded.tokenizer, FimFormat(), {})
    assert not list(tmp_path.iterdir())
