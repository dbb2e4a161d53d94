"""``config.json`` of Hugging Face's Llama and Qwen2, read and written.

Both compute the same but for biases: Qwen2 has them on queries, keys and values, Llama nowhere or
everywhere. Old and new spellings are read and written: transformers 5 has ``rope_parameters`` and
``dtype`` where earlier versions and other engines know ``rope_theta``, ``rope_scaling`` and
``torch_dtype``. What is missing has the default of transformers' classes, as Llama 1 and 2 need it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from treespan.model.config import ModelConfig
from treespan.platform.config import build
from treespan.platform.errors import UserError

_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "num_key_value_heads": "num_kv_heads",
    "max_position_embeddings": "max_positions",
    "rms_norm_eps": "norm_eps",
    "tie_word_embeddings": "tie_embeddings",
    "initializer_range": "init_std",
}
"""Theirs to ours."""

_ROPE_NAMES = {
    "linear": {"factor": "factor"},
    "yarn": {
        "factor": "factor",
        "original_max_position_embeddings": "original_positions",
        "attention_factor": "attention_factor",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "truncate": "truncate",
    },
    "llama3": {
        "factor": "factor",
        "original_max_position_embeddings": "original_positions",
        "low_freq_factor": "low_frequency_factor",
        "high_freq_factor": "high_frequency_factor",
    },
}
"""The kinds of rotary scaling and their fields, theirs to ours."""

_DEFAULT_THETA = 10_000.0


def to_json(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """The shape as transformers reads it; ``dtype`` is torch's name without ``torch.``."""
    ours = config.to_dict()
    rope: dict[str, Any] = {"rope_type": "default"}
    if config.rope_scaling is not None:
        scaling = ours["rope_scaling"]
        fields = _ROPE_NAMES[scaling["kind"]].items()
        values = {theirs: scaling[name] for theirs, name in fields if scaling[name] is not None}
        rope = {"rope_type": scaling["kind"], **values}
    if config.attention_bias == "qkv":
        family = {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "use_sliding_window": False,
        }
    else:
        family = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": config.attention_bias == "all",
            "mlp_bias": False,
        }
    return {
        **family,
        **{theirs: ours[name] for theirs, name in _NAMES.items()},
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "rope_theta": config.rope_theta,
        "rope_parameters": {**rope, "rope_theta": config.rope_theta},
        **({} if config.rope_scaling is None else {"rope_scaling": rope}),
        "torch_dtype": dtype,
        "dtype": dtype,
        "use_cache": True,
    }


def from_json(values: Mapping[str, Any], where: str) -> ModelConfig:
    """The shape that ``values`` of a ``config.json`` say.

    ``where`` names the file. Raises ``UserError`` for what this transformer does not compute, or an
    impossible shape.
    """
    family = values.get("model_type")
    if family not in ("llama", "qwen2"):
        raise UserError(
            f"{where}: model_type is {family!r}, only 'llama' and 'qwen2' are implemented.",
            "Give a model of the Llama or the Qwen2 architecture.",
        )
    _refuse_unsupported(values, where)
    defaults = {
        "num_key_value_heads": values.get("num_attention_heads"),
        "max_position_embeddings": 2048 if family == "llama" else 32_768,
        "tie_word_embeddings": False,
    }
    # What is null there is a default too.
    given = {**defaults, **{key: value for key, value in values.items() if value is not None}}
    ours = {name: given[key] for key, name in _NAMES.items() if key in given}
    heads, width, head_dim = (
        given.get(key) for key in ("num_attention_heads", "hidden_size", "head_dim")
    )
    if head_dim is not None and not _is_implied(head_dim, width, heads):
        ours["head_width"] = head_dim
    if family == "qwen2":
        ours["attention_bias"] = "qkv"
    elif values.get("attention_bias"):
        ours["attention_bias"] = "all"
    # In this order transformers takes them, too.
    rope = dict(values.get("rope_scaling") or values.get("rope_parameters") or {})
    beside = values.get("rope_parameters") or {}
    theta = rope.get("rope_theta") or values.get("rope_theta") or beside.get("rope_theta")
    ours["rope_theta"] = theta or _DEFAULT_THETA
    ours["rope_scaling"] = _rope_scaling(rope, given, where)
    return build(ModelConfig, ours, where=where)


def _is_implied(head_dim: Any, width: Any, heads: Any) -> bool:
    numbers = all(isinstance(number, int) for number in (head_dim, width, heads))
    return numbers and head_dim * heads == width


def _refuse_unsupported(values: Mapping[str, Any], where: str) -> None:
    unsupported = {
        "hidden_act": values.get("hidden_act") not in (None, "silu"),
        "mlp_bias": bool(values.get("mlp_bias")),
        "use_sliding_window": bool(values.get("use_sliding_window")),
        "partial_rotary_factor": values.get("partial_rotary_factor") not in (None, 1, 1.0),
    }
    for key, refused in unsupported.items():
        if refused:
            raise UserError(
                f"{where}: {key} {values[key]!r} is not implemented.", "Give another model."
            )
    if values.get("quantization_config"):
        raise UserError(
            f"{where}: the weights are quantised (quantization_config).",
            "Give the model that was quantised, in bfloat16, float16 or float32.",
        )


def _rope_scaling(
    rope: Mapping[str, Any], values: Mapping[str, Any], where: str
) -> dict[str, Any] | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "default":
        if rope.get("partial_rotary_factor") not in (None, 1, 1.0):
            raise UserError(
                f"{where}: partial_rotary_factor is not implemented.", "Give another model."
            )
        return None
    if kind == "dynamic":
        raise UserError(
            f"{where}: rotary scaling 'dynamic' is not implemented: it changes with the length of "
            f"the sequence.",
            "Remove it: up to max_position_embeddings the model computes the same without.",
        )
    if kind not in _ROPE_NAMES:
        raise UserError(
            f"{where}: rotary scaling {kind!r} is not implemented.",
            f"Give a model with one of {', '.join(_ROPE_NAMES)}, or without.",
        )
    longest = values["max_position_embeddings"]
    original = (
        values.get("original_max_position_embeddings")
        or rope.get("original_max_position_embeddings")
        or longest
    )
    given = {**rope, "original_max_position_embeddings": original}
    if kind == "yarn":
        given.update(_yarn_defaults(given, longest))
    fields = _ROPE_NAMES[kind].items()
    present = {name: given[theirs] for theirs, name in fields if given.get(theirs) is not None}
    return {"kind": kind, **present}


def _yarn_defaults(rope: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """What DeepSeek's spelling leaves open: a factor by lengths, attention by two scales of it."""
    factor = rope.get("factor") or longest / rope["original_max_position_embeddings"]
    found: dict[str, Any] = {"factor": factor}
    scales = (rope.get("mscale"), rope.get("mscale_all_dim"))
    if rope.get("attention_factor") is None and all(scales):
        upper, lower = (0.1 * scale * math.log(max(1.0, factor)) + 1.0 for scale in scales if scale)
        found["attention_factor"] = upper / lower
    return found
