"""Open models as a beginning: read from every kind of folder, and grown by new sentinels."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from treespan.model.added_rows import with_added_rows
from treespan.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from treespan.model.fim_format import FimFormat
from treespan.model.foreign_tokenizer import adopt
from treespan.model.gguf.writer import write_gguf
from treespan.model.starting_weights import (
    StartingWeights,
    fit_vocabulary,
    fitted_vocab_size,
    read_starting_weights,
    read_tokenizer_json,
)
from treespan.model.tokenizer import Tokenizer, train
from treespan.model.transformer import Transformer
from treespan.platform.errors import UserError
from treespan.platform.store import Store

CODE = "def area(width, height):\n    return width * height  # 12 naïve π\n"
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
}
Peer = LlamaForCausalLM | Qwen2ForCausalLM


def with_rows(*arguments: Any, **options: Any) -> dict[str, torch.Tensor]:
    return dict(fit_vocabulary(*arguments, **options))


@pytest.fixture(scope="module")
def own() -> Tokenizer:
    """A model's tokenizer, of 290 ids, without sentinels."""
    return train([CODE] * 8, vocab_size=290, special_tokens=["<|endoftext|>"])


@pytest.fixture(scope="module")
def grown(own: Tokenizer) -> Tokenizer:
    """The same with the sentinels that ``tokenize`` would add."""
    return adopt(own.serialized, FimFormat().special_tokens(), add_missing=True)


def make_peer(family: str, rows: int, *, tied: bool = False) -> Peer:
    torch.manual_seed(0)
    if family == "qwen2":
        peer: Peer = Qwen2ForCausalLM(
            Qwen2Config(vocab_size=rows, tie_word_embeddings=tied, **SHAPE)
        )
        with torch.no_grad():
            for name, parameter in peer.named_parameters():
                if name.endswith(".bias"):
                    parameter.normal_(0, 0.3)
        return peer.eval()
    config = LlamaConfig(vocab_size=rows, tie_word_embeddings=tied, **SHAPE)
    return LlamaForCausalLM(config).eval()


def save(folder: Path, own: Tokenizer, peer: Peer, **how: Any) -> Path:
    peer.save_pretrained(folder, **how)
    (folder / "tokenizer.json").write_text(own.serialized)
    return folder


def save_as_torch(folder: Path, own: Tokenizer, peer: Peer, *, shards: int) -> Path:
    """As transformers saved models before safetensors."""
    save(folder, own, peer)
    (folder / "model.safetensors").unlink()
    items = list(peer.state_dict().items())
    if shards == 1:
        torch.save(dict(items), folder / "pytorch_model.bin")
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05d}-of-{shards:05d}.bin"
        torch.save(dict(items[shard::shards]), folder / file)
        weight_map |= {name: file for name, _ in items[shard::shards]}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def model_of(weights: StartingWeights, tensors: dict[str, torch.Tensor]) -> Transformer:
    """As training makes it."""
    rows = len(tensors["model.embed_tokens.weight"])
    model = Transformer(weights.config.model_copy(update={"vocab_size": rows}))
    parameters = dict(model.named_parameters())
    assert parameters.keys() == tensors.keys()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
    return model.eval()


def logits(model: Transformer, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.project(model(tokens))


WAYS: dict[str, Callable[[Path, Tokenizer, Peer], Path]] = {
    "one file": save,
    "shards": lambda folder, own, peer: save(folder, own, peer, max_shard_size=30_000),
    "torch": lambda folder, own, peer: save_as_torch(folder, own, peer, shards=1),
    "torch shards": lambda folder, own, peer: save_as_torch(folder, own, peer, shards=3),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [False, True])
def test_logits_of_an_open_model(
    tmp_path: Path, own: Tokenizer, way: str, family: str, tied: bool
) -> None:
    peer = make_peer(family, 290, tied=tied)
    weights = read_starting_weights(str(WAYS[way](tmp_path, own, peer)))
    model = model_of(weights, dict(weights.tensors()))
    assert weights.config.tie_embeddings == tied
    assert weights.tokenizer_json == own.serialized
    assert weights.fim_format is None
    tokens = torch.tensor([own.encode(CODE)])
    with torch.no_grad():
        expected = peer(tokens).logits
    torch.testing.assert_close(logits(model, tokens), expected, atol=1e-5, rtol=1e-5)
    assert bool(list(tmp_path.glob("*-of-*"))) == ("shards" in way)


def test_our_own_checkpoint(checkpoint_folder: Path, checkpoint: Checkpoint) -> None:
    weights = read_starting_weights(str(checkpoint_folder))
    assert weights.config == checkpoint.config
    assert weights.fim_format == checkpoint.fim_format
    state = checkpoint.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in weights.tensors())
    assert read_tokenizer_json(str(checkpoint_folder)) == checkpoint.tokenizer.serialized


def test_a_gguf(checkpoint: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    write_gguf(checkpoint, file, "f32")
    for place in (file, tmp_path):
        weights = read_starting_weights(str(place))
        assert weights.fim_format == checkpoint.fim_format
        assert weights.tokenizer_json == read_tokenizer_json(str(place))
        tensors = with_rows(weights, checkpoint.tokenizer)
        tokens = torch.tensor([checkpoint.tokenizer.encode(CODE)])
        expected = logits(checkpoint.model, tokens)
        assert torch.equal(logits(model_of(weights, tensors), tokens), expected)
    (tmp_path / "other.gguf").write_bytes(b"")
    with pytest.raises(UserError, match=r"2 GGUF files: model\.gguf, other\.gguf"):
        read_starting_weights(str(tmp_path))


@pytest.mark.parametrize(
    ("family", "rows", "tied", "fitted"),
    [("llama", 290, False, 320), ("llama", 290, True, 320), ("qwen2", 292, True, 320)],
)
def test_added_sentinels_leave_old_tokens_alone(
    tmp_path: Path,
    own: Tokenizer,
    grown: Tokenizer,
    family: str,
    rows: int,
    tied: bool,
    fitted: int,
) -> None:
    weights = read_starting_weights(str(save(tmp_path, own, make_peer(family, rows, tied=tied))))
    assert grown.vocab_size == 296
    assert fitted_vocab_size(weights.config, grown) == fitted
    before = model_of(weights, dict(weights.tensors()))
    after = model_of(weights, with_rows(weights, grown))
    assert after.config.vocab_size == fitted
    tokens = torch.tensor([grown.encode(CODE)])
    assert tokens.tolist() == [own.encode(CODE)]
    old, new = logits(before, tokens), logits(after, tokens)
    assert torch.equal(new[..., :290], old[..., :290])
    # No new token takes probability that an average token would not.
    shares = new.softmax(-1)
    assert shares[..., 290:].max() < old.softmax(-1).mean() * 1.5
    # New tokens differ, and what they are does not depend on what else is added.
    embedding = after.model.embed_tokens.weight
    assert len(embedding[290:296].unique(dim=0)) == 6
    fewer = adopt(own.serialized, ["<s>", "</s>"], add_missing=True)
    again = with_rows(weights, fewer)["model.embed_tokens.weight"]
    assert torch.equal(again[fewer.id_of("</s>")], embedding[grown.id_of("</s>")])
    other = with_rows(weights, grown, seed=1)["model.embed_tokens.weight"]
    assert not torch.equal(other[290:296], embedding[290:296])


def test_spare_rows_are_used_first(tmp_path: Path, own: Tokenizer, grown: Tokenizer) -> None:
    peer = make_peer("qwen2", 320)
    with torch.no_grad():
        peer.model.embed_tokens.weight[290:] = 77.0  # never trained
    weights = read_starting_weights(str(save(tmp_path, own, peer)))
    assert fitted_vocab_size(weights.config, grown) == 320
    embedding = with_rows(weights, grown)["model.embed_tokens.weight"]
    assert embedding.shape == (320, 32)
    assert embedding[290:296].abs().max() < 1
    assert bool((embedding[296:] == 77).all())
    untouched = with_rows(weights, own)["model.embed_tokens.weight"]
    assert torch.equal(untouched, peer.model.embed_tokens.weight)


def test_added_rows_have_the_mean_and_the_covariance() -> None:
    """Against Hewitt's own recipe: a normal distribution of 1e-5 times the covariance."""
    trained = torch.randn(9_000, 3) @ torch.randn(3, 3) + 5
    matrix = torch.cat((trained, torch.full((10, 3), 1e6)))
    added = {f"t{number}": 9_010 + number for number in range(4_000)}
    rows = with_added_rows(matrix.double(), range(9_000), added, 13_064, "key")
    assert torch.equal(rows[:9_010], matrix.double())
    drawn = rows[9_010:13_010]
    mean, covariance = trained.double().mean(0), trained.double().T.cov()
    torch.testing.assert_close(drawn.mean(0), mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        drawn.T.cov() * 1e5, covariance, atol=float(covariance.diag().max()) * 0.1, rtol=0
    )
    assert bool((rows[13_010:] == mean).all())


def test_a_grown_model_trains_and_is_saved(
    tmp_path: Path, own: Tokenizer, grown: Tokenizer
) -> None:
    """The whole way: an open model, our sentinels, a step, a checkpoint, a beginning again."""
    peer = make_peer("qwen2", 290, tied=True).bfloat16()
    weights = read_starting_weights(str(save(tmp_path / "open", own, peer)))
    model = model_of(weights, with_rows(weights, grown))
    sentinels = [grown.id_of(name) for name in ("<|fim_prefix|>", "<|fim_suffix|>")]
    tokens = torch.tensor([[*sentinels, *grown.encode(CODE)]])
    before = model.model.embed_tokens.weight[sentinels].clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        scores = model.project(model(tokens)).float()
        loss = torch.nn.functional.cross_entropy(scores[0, :-1], tokens[0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert not torch.equal(model.model.embed_tokens.weight[sentinels], before)
    save_checkpoint(tmp_path / "ours", model.config, model.state_dict(), grown, FimFormat(), {})
    loaded = load_checkpoint(tmp_path / "ours")
    assert loaded.config.vocab_size == 320
    assert Qwen2ForCausalLM.from_pretrained(tmp_path / "ours").config.vocab_size == 320
    again = read_starting_weights(str(tmp_path / "ours"))
    assert again.fim_format == FimFormat()
    fitted = with_rows(again, loaded.tokenizer)
    assert torch.equal(fitted["model.embed_tokens.weight"], loaded.model.output_weight)


def test_another_vocabulary_is_refused(tmp_path: Path, own: Tokenizer) -> None:
    weights = read_starting_weights(str(save(tmp_path, own, make_peer("llama", 290))))
    other = train(["other text"], vocab_size=280, special_tokens=FimFormat().special_tokens())
    with pytest.raises(UserError, match="another vocabulary") as caught:
        with_rows(weights, other)
    assert "tokenize.load" in caught.value.fix


@pytest.mark.parametrize("name", ["qwen2.5-coder", "starcoder2", "deepseek-coder", "treespan"])
def test_a_format_is_known_by_its_sentinels(tmp_path: Path, own: Tokenizer, name: str) -> None:
    wanted = FimFormat.model_validate(name)
    tokenizer = adopt(own.serialized, wanted.special_tokens(), add_missing=True)
    folder = save(tmp_path, tokenizer, make_peer("llama", 320))
    assert read_starting_weights(str(folder)).fim_format == wanted


def test_remote_places_are_copied_for_as_long_as_they_are_read(
    tmp_path: Path, own: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = make_peer("llama", 290)
    folder = save(tmp_path / "open", own, peer, max_shard_size=30_000)
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "original").mkdir()
    (folder / "original" / "model.safetensors").write_bytes(b"x")
    copies: list[Path] = []
    copy_out = Store.copy_out

    def copied(store: Store, relative: str, target: Any) -> None:
        copies.append(Path(target.name))
        copy_out(store, relative, target)

    monkeypatch.setattr(Store, "is_local", property(lambda self: False))
    monkeypatch.setattr(Store, "copy_out", copied)
    assert read_tokenizer_json(str(folder)) == own.serialized
    assert read_tokenizer_json(f"{folder}/tokenizer.json") == own.serialized
    assert [path.name for path in copies] == ["tokenizer.json"] * 2
    copies.clear()
    tensors = read_starting_weights(str(folder)).tensors()
    name, _ = next(tensors)
    assert all(path.exists() for path in copies)
    assert {path.suffix for path in copies} == {".json", ".safetensors"}
    assert "original" not in {path.parent.name for path in copies}
    assert {name, *(name for name, _ in tensors)} == peer.state_dict().keys()
    del tensors
    gc.collect()
    assert not any(path.exists() for path in copies)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="holds no config") as caught:
        read_starting_weights(str(folder))
    assert str(folder) in caught.value.problem


def test_an_object_store(tmp_path: Path, own: Tokenizer, s3: Callable[[str], str]) -> None:
    peer = make_peer("qwen2", 290)
    uri = s3("bucket/models/open")
    for path in save(tmp_path, own, peer, max_shard_size=30_000).iterdir():
        Store(uri).copy_in(path.name, path)
    weights = read_starting_weights(uri)
    tokens = torch.tensor([own.encode(CODE)])
    with torch.no_grad():
        expected = peer(tokens).logits
    model = model_of(weights, with_rows(weights, own))
    torch.testing.assert_close(logits(model, tokens), expected, atol=1e-5, rtol=1e-5)
    for place in (uri, s3("bucket/models/open/tokenizer.json")):
        assert read_tokenizer_json(place) == own.serialized
    with pytest.raises(UserError, match=r"no tokenizer\.json in s3://bucket/models[?]"):
        read_tokenizer_json(s3("bucket/models"))
    with pytest.raises(UserError, match=r"s3://bucket/nothing[?].* holds no config\.json"):
        read_starting_weights(s3("bucket/nothing"))


def rename(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return edit


def edit_config(**values: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return edit


def code_in_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"x": Path}, folder / "pytorch_model.bin")


def torch_without_tensors(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save([1, 2], folder / "pytorch_model.bin")


def gpt2(folder: Path) -> None:
    config = GPT2Config(vocab_size=290, n_embd=8, n_layer=1, n_head=1, n_positions=8)
    GPT2LMHeadModel(config).save_pretrained(folder)


def adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (gpt2, "model_type is 'gpt2'"),
        (edit_config(quantization_config={"quant_method": "awq"}), "quantised"),
        (edit_config(vocab_size=291), r"has shape \[290, 32\]"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json and 0 GGUF files"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "is damaged"),
        (rename(lambda tensors: tensors.pop("lm_head.weight")), "1 tensors are missing"),
        (code_in_a_pickle, "cannot be read as plain weights"),
        (torch_without_tensors, "holds no state dict"),
        (adapter, "an adapter of another model"),
    ],
)
def test_what_cannot_be_a_beginning_is_named(
    tmp_path: Path, own: Tokenizer, damage: Callable[[Path], object], problem: str
) -> None:
    folder = save(tmp_path, own, make_peer("llama", 290))
    damage(folder)
    with pytest.raises(UserError, match=problem) as caught:
        read_starting_weights(str(folder))
    assert str(folder) in caught.value.problem
    assert caught.value.fix


def test_weights_that_are_no_floats_are_named(tmp_path: Path, own: Tokenizer) -> None:
    folder = save(tmp_path, own, make_peer("llama", 290))
    name = "model.layers.0.mlp.up_proj.weight"
    rename(lambda tensors: tensors.update({name: tensors[name].to(torch.int8)}))(folder)
    with pytest.raises(UserError, match=f"quantised: {name} is torch.int8"):
        dict(read_starting_weights(str(folder)).tensors())


def test_angles_that_early_llamas_stored_are_left_out(tmp_path: Path, own: Tokenizer) -> None:
    folder = save(tmp_path, own, make_peer("llama", 290))
    stored = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rename(lambda tensors: tensors.update({stored: torch.ones(4)}))(folder)
    assert stored not in dict(read_starting_weights(str(folder)).tensors())


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    for place, problem in [
        (tmp_path, f"no tokenizer.json in {tmp_path}"),
        (tmp_path / "mine.json", f"no mine.json in {tmp_path}"),
        (tmp_path / "nowhere", f"no nowhere in {tmp_path}"),
    ]:
        with pytest.raises(UserError, match=problem):
            read_tokenizer_json(str(place))
