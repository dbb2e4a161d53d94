"""``config.json`` in the spellings that there have been, with transformers' reading as the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from treespan.model.config import ModelConfig
from treespan.model.hugging_face.config_json import from_json, to_json
from treespan.model.rope import angular_frequencies, attention_factor
from treespan.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling
from treespan.platform.errors import UserError

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
}
YARN = {"factor": 4.0, "original_max_position_embeddings": 1024}
LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}
SPELLINGS: dict[str, dict[str, Any]] = {
    "no theta, as Llama 2": {},
    "theta beside, as transformers 4": {"rope_theta": 500_000.0, "rope_scaling": None},
    "parameters, as transformers 5": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 100_000.0}
    },
    "linear with type": {
        "rope_theta": 5e4,
        "rope_scaling": {"type": "linear", "factor": 4.0},
    },
    "yarn with type, as Qwen2.5 says": {
        "rope_theta": 1e6,
        "rope_scaling": {"type": "yarn", **YARN},
    },
    "yarn without the first length": {
        "rope_theta": 1e6,
        "rope_scaling": {"rope_type": "yarn", "factor": 2.0},
    },
    "yarn with two scales, as DeepSeek": {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e4,
            "mscale": 1.2,
            "mscale_all_dim": 0.7,
            **YARN,
        }
    },
    "yarn, all set": {
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e4,
            "attention_factor": 1.1,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
            "truncate": False,
            **YARN,
        }
    },
    "llama3, as transformers 4": {
        "rope_theta": 5e5,
        "rope_scaling": {"rope_type": "llama3", **LLAMA3},
    },
    "llama3, as transformers 5": {
        "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}
    },
    "both spellings, as we write": {
        "rope_theta": 5e5,
        "rope_scaling": {"rope_type": "llama3", **LLAMA3},
        "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3},
    },
    "head width": {"head_dim": 32},
    "nulls": {"num_key_value_heads": None, "head_dim": None},
}


def theirs(folder: Path, values: dict[str, Any]) -> Any:
    (folder / "config.json").write_text(json.dumps(values))
    return AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_spellings_mean_what_transformers_reads(tmp_path: Path, spelling: str, family: str) -> None:
    values = {**LLAMA, **SPELLINGS[spelling], "model_type": family}
    ours = from_json(json.loads(json.dumps(values)), "config.json")

    peer = theirs(tmp_path, values)

    rotary = LlamaRotaryEmbedding(peer)
    torch.testing.assert_close(angular_frequencies(ours), rotary.inv_freq, atol=0, rtol=0)
    assert attention_factor(ours) == pytest.approx(rotary.attention_scaling, rel=1e-12)
    assert ours.num_kv_heads == peer.num_key_value_heads
    assert ours.max_positions == peer.max_position_embeddings
    assert ours.tie_embeddings == peer.tie_word_embeddings
    assert ours.norm_eps == peer.rms_norm_eps
    assert ours.attention_bias == ("qkv" if family == "qwen2" else "none")
    # What we write of it means the same again, to us and to transformers.
    written = to_json(ours, "bfloat16")
    assert from_json(written, "config.json") == ours
    again = theirs(tmp_path, written)
    torch.testing.assert_close(
        LlamaRotaryEmbedding(again).inv_freq, rotary.inv_freq, atol=0, rtol=0
    )
    assert again.dtype == torch.bfloat16
    assert again.model_type == family


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_what_is_missing_is_transformers_default(tmp_path: Path, family: str) -> None:
    few = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    values: dict[str, Any] = {key: LLAMA[key] for key in few}
    values |= {"model_type": family, "num_attention_heads": 4}
    # Their default for this one is a number, of heads that the model may not have.
    values["num_key_value_heads"] = None
    ours, peer = from_json(values, "config.json"), theirs(tmp_path, values)
    assert ours.max_positions == peer.max_position_embeddings
    assert ours.num_kv_heads == peer.num_key_value_heads == 4
    assert ours.norm_eps == peer.rms_norm_eps
    assert ours.init_std == peer.initializer_range
    assert ours.rope_theta == peer.rope_parameters["rope_theta"]


FACTORS = st.floats(1, 64)
LENGTHS = st.integers(1, 1 << 20)
SCALINGS = st.one_of(
    st.none(),
    st.builds(LinearScaling, factor=FACTORS),
    st.builds(
        YarnScaling,
        factor=FACTORS,
        original_positions=LENGTHS,
        attention_factor=st.none() | st.floats(0.1, 4),
        beta_fast=st.floats(8, 64),
        beta_slow=st.floats(0.1, 4),
        truncate=st.booleans(),
    ),
    st.builds(
        Llama3Scaling,
        factor=FACTORS,
        original_positions=LENGTHS,
        low_frequency_factor=st.floats(0.5, 2),
        high_frequency_factor=st.floats(3, 8),
    ),
)
CONFIGS = st.builds(
    ModelConfig,
    vocab_size=LENGTHS,
    hidden_size=st.sampled_from([64, 96, 128]),
    intermediate_size=LENGTHS,
    num_layers=st.integers(1, 4),
    num_heads=st.just(4),
    num_kv_heads=st.sampled_from([1, 2, 4]),
    max_positions=LENGTHS,
    rope_theta=st.floats(2, 1e7),
    rope_scaling=SCALINGS,
    # That which hidden_size / num_heads implies reads back as such.
    head_width=st.sampled_from([None, 10, 20]),
    attention_bias=st.sampled_from(["none", "qkv", "all"]),
    norm_eps=st.floats(1e-8, 1e-2),
    tie_embeddings=st.booleans(),
    init_std=st.floats(1e-4, 1),
)


@given(CONFIGS)
def test_every_shape_comes_back_and_turns_as_transformers(config: ModelConfig) -> None:
    written = json.loads(json.dumps(to_json(config, "float32")))
    assert from_json(written, "config.json") == config
    rotary = LlamaRotaryEmbedding(LlamaConfig.from_dict(written))
    torch.testing.assert_close(angular_frequencies(config), rotary.inv_freq, atol=0, rtol=0)
    assert attention_factor(config) == pytest.approx(rotary.attention_scaling, rel=1e-12)


def test_biases_choose_the_family() -> None:
    for bias, family in [("none", "llama"), ("qkv", "qwen2"), ("all", "llama")]:
        config = from_json({**LLAMA}, "x").model_copy(update={"attention_bias": bias})
        written = to_json(config, "float32")
        assert written["model_type"] == family
        assert written.get("attention_bias") == {"none": False, "all": True}.get(bias)
        assert from_json(written, "x") == config


def test_dynamic_scaling_may_be_removed_as_its_refusal_says(tmp_path: Path) -> None:
    values = {**LLAMA, "rope_scaling": {"type": "dynamic", "factor": 4.0}, "rope_theta": 1e4}
    rotary = LlamaRotaryEmbedding(theirs(tmp_path, values))
    x = torch.zeros(1)
    cos, _ = rotary(x, torch.arange(4096)[None])
    plain, _ = LlamaRotaryEmbedding(theirs(tmp_path, LLAMA))(x, torch.arange(4096)[None])
    assert torch.equal(cos, plain)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_type": "gpt_neox"}, "model_type is 'gpt_neox'"),
        ({"model_type": None}, "model_type is None"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"mlp_bias": True}, "mlp_bias True"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "use_sliding_window True"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic' is not implemented"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "'longrope' is not implemented"),
        ({"rope_scaling": {"type": "linear"}}, "factor' is missing"),
        ({"rope_scaling": {"type": "linear", "factor": "big"}}, "rope_scaling.*factor"),
        ({"hidden_size": None}, "hidden_size' is missing"),
        ({"head_dim": 7}, "head width 7"),
    ],
)
def test_what_is_not_computed_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        from_json({**LLAMA, **changes}, "model/config.json")
    assert caught.value.problem.startswith("model/config.json: ")
    assert caught.value.fix


def test_an_unused_sliding_window_is_no_obstacle() -> None:
    values = {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}
    config = from_json({**LLAMA, **values}, "x")
    assert isinstance(config, ModelConfig)
    assert config.attention_bias == "qkv"
