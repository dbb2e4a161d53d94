"""A model's shape as the keys of a GGUF, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gguf import Keys

from treespan.model.config import ModelConfig
from treespan.model.gguf.rotary import scaling_fields, scaling_values
from treespan.platform.config import build
from treespan.platform.errors import UserError

ARCHITECTURES = ("llama", "qwen2")

_ARCHITECTURE = Keys.General.ARCHITECTURE
_FIELDS = {
    Keys.LLM.EMBEDDING_LENGTH: "hidden_size",
    Keys.LLM.FEED_FORWARD_LENGTH: "intermediate_size",
    Keys.LLM.BLOCK_COUNT: "num_layers",
    Keys.Attention.HEAD_COUNT: "num_heads",
    Keys.Attention.HEAD_COUNT_KV: "num_kv_heads",
    Keys.LLM.CONTEXT_LENGTH: "max_positions",
    Keys.Rope.FREQ_BASE: "rope_theta",
    Keys.Attention.LAYERNORM_RMS_EPS: "norm_eps",
}
_DEFAULTS = {Keys.Rope.FREQ_BASE: 10_000.0}
"""What llama.cpp takes for a key that is missing."""


def shape_fields(config: ModelConfig) -> dict[str, Any]:
    """Keys and values of ``config``, architecture included."""
    ours = config.to_dict()
    # Either computes the same; readers of Llama know no biases, and those of Qwen2 just these.
    architecture = "qwen2" if config.attention_bias == "qkv" else "llama"
    values = {
        **{key: ours[name] for key, name in _FIELDS.items()},
        Keys.LLM.VOCAB_SIZE: config.vocab_size,
        Keys.Rope.DIMENSION_COUNT: config.head_dim,
        Keys.Attention.KEY_LENGTH: config.head_dim,
        Keys.Attention.VALUE_LENGTH: config.head_dim,
        **scaling_fields(config),
    }
    return {key.format(arch=architecture): value for key, value in values.items()} | {
        _ARCHITECTURE: architecture
    }


def config_of(
    fields: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str
) -> ModelConfig:
    """The configuration that ``fields`` and the ``shapes`` of llama.cpp's tensors describe.

    Raises ``UserError`` for another architecture, or a part of one that is not implemented.
    """
    architecture = fields.get(_ARCHITECTURE)
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"{where} holds a model of the architecture {architecture!r}; only "
            f"{' and '.join(ARCHITECTURES)} are implemented.",
            "Give another model.",
        )
    if "token_embd.weight" not in shapes:
        raise UserError(f"{where} has no token_embd.weight.", "Convert the model to GGUF again.")

    def value(key: str) -> Any:
        return fields.get(key.format(arch=architecture), _DEFAULTS.get(key))

    found = {name: _shortest(value(key)) for key, name in _FIELDS.items()}
    found["num_kv_heads"] = found["num_kv_heads"] or found["num_heads"]
    width = value(Keys.Attention.KEY_LENGTH)
    if width and found["num_heads"] and width * found["num_heads"] != found["hidden_size"]:
        found["head_width"] = width
    if "blk.0.attn_q.bias" in shapes:
        found["attention_bias"] = "all" if "blk.0.attn_output.bias" in shapes else "qkv"
    found["rope_scaling"] = scaling_values(fields, architecture, where)
    config = build(
        ModelConfig,
        {
            **{name: number for name, number in found.items() if number is not None},
            "vocab_size": shapes["token_embd.weight"][0],
            "tie_embeddings": "output.weight" not in shapes,
        },
        where=where,
    )
    turned = value(Keys.Rope.DIMENSION_COUNT)
    _refuse(
        where,
        {
            "rope.dimension_count": None if turned == config.head_dim else turned,
            "expert_count": value(Keys.LLM.EXPERT_COUNT),
            "split.count": max(0, fields.get(Keys.Split.LLM_KV_SPLIT_COUNT, 0) - 1),
        },
    )
    return config


def _refuse(where: str, unsupported: Mapping[str, Any]) -> None:
    for key, value in unsupported.items():
        if value:
            raise UserError(f"{where}: {key} {value!r} is not implemented.", "Give another model.")


def _shortest(value: Any) -> Any:
    """A float32 as the float that its shortest decimal is: 1e-06, not 9.99999997e-07."""
    return float(str(np.float32(value))) if isinstance(value, float) else value
