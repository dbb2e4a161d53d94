"""Adapter files against the library that their format belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.model.small_transformer import model
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from treespan.model.lora import Adapters, add_adapters
from treespan.model.peft_adapter import CONFIG, WEIGHTS, load_adapters, save_adapters
from treespan.model.transformer import Transformer
from treespan.platform.errors import UserError

TOKENS = torch.arange(24).view(2, 12)
BOTH = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
WHOLE = pytest.mark.parametrize("train_embeddings", [False, True], ids=["frozen", "embeddings"])


def randomly_adapted(*, tied: bool, train_embeddings: bool) -> tuple[Transformer, Adapters]:
    adapters = Adapters(4, 12.0, ("q_proj", "v_proj", "down_proj"), train_embeddings)
    transformer = model(tied=tied)
    add_adapters(transformer, adapters, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.requires_grad:
                parameter.normal_(0, 0.2, generator=generator)
    return transformer, adapters


def logits(transformer: Transformer) -> Tensor:
    with torch.no_grad():
        return transformer.project(transformer(TOKENS))


def their_base(transformer: Transformer, folder: Path) -> None:
    """The model without adapters, as transformers saves it."""
    shape = transformer.config
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        num_key_value_heads=shape.num_kv_heads,
        max_position_embeddings=shape.max_positions,
        rms_norm_eps=shape.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tie_embeddings,
    )
    theirs = LlamaForCausalLM(config)
    theirs.load_state_dict(transformer.state_dict())
    theirs.save_pretrained(folder)


@BOTH
@WHOLE
def test_peft_computes_the_same(tmp_path: Path, tied: bool, train_embeddings: bool) -> None:
    peft = pytest.importorskip("peft", reason="the library peft is not installed")
    transformer, adapters = randomly_adapted(tied=tied, train_embeddings=train_embeddings)
    base, folder = tmp_path / "base", tmp_path / "adapter"
    their_base(model(tied=tied), base)
    save_adapters(folder, transformer.state_dict(), adapters, base=str(base))
    theirs = peft.AutoPeftModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        found = theirs(TOKENS).logits
    torch.testing.assert_close(found, logits(transformer), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, logits(model(tied=tied)), atol=0.1)


def test_adapters_that_peft_saved_are_read(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="the library peft is not installed")
    their_base(model(), tmp_path / "base")
    base = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    settings = peft.LoraConfig(
        r=3, lora_alpha=6, target_modules=["k_proj", "up_proj"], task_type="CAUSAL_LM"
    )
    theirs = peft.get_peft_model(base, settings).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.2)
        expected = theirs(TOKENS).logits
    theirs.save_pretrained(tmp_path / "adapter")
    transformer = model()
    adapters = load_adapters(transformer, tmp_path / "adapter")
    assert adapters == Adapters(3, 6.0, ("k_proj", "up_proj"))
    torch.testing.assert_close(logits(transformer), expected, atol=1e-4, rtol=1e-4)


@BOTH
@WHOLE
def test_a_round_trip_is_exact(tmp_path: Path, tied: bool, train_embeddings: bool) -> None:
    transformer, adapters = randomly_adapted(tied=tied, train_embeddings=train_embeddings)
    save_adapters(
        tmp_path, transformer.state_dict(), adapters, base="owner/model", revision="abc123"
    )
    again = model(tied=tied)
    read = load_adapters(again, tmp_path)
    assert (read.rank, read.alpha, read.train_embeddings) == (4, 12.0, train_embeddings)
    assert set(read.targets) == set(adapters.targets)
    assert torch.equal(logits(again), logits(transformer))
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config["base_model_name_or_path"] == "owner/model"
    assert config["revision"] == "abc123"


def test_equal_adapters_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        transformer, adapters = randomly_adapted(tied=True, train_embeddings=True)
        save_adapters(tmp_path / name, transformer.state_dict(), adapters, base="x")
    for file in (WEIGHTS, CONFIG):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "use_dora is True"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": None}, "no configuration of an adapter"),
        ({"target_modules": ["c_attn"]}, "no matrix 'c_attn'"),
        ({"target_modules": ["q_proj"]}, r"has, and the model has not, .*down_proj\.lora_a"),
        ({"r": 2}, "has shape"),
    ],
    ids=str,
)
def test_what_is_not_ours_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    transformer, adapters = randomly_adapted(tied=False, train_embeddings=False)
    save_adapters(tmp_path, transformer.state_dict(), adapters, base="x")
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=message):
        load_adapters(model(), tmp_path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    transformer, adapters = randomly_adapted(tied=False, train_embeddings=False)
    save_adapters(tmp_path, transformer.state_dict(), adapters, base="x")
    (tmp_path / WEIGHTS).write_bytes(b"short")
    with pytest.raises(UserError, match="cannot be read"):
        load_adapters(model(), tmp_path)
    with pytest.raises(UserError, match="no configuration"):
        load_adapters(model(), tmp_path / "none")
