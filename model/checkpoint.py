"""The checkpoint: a folder that training writes, and that evaluation and serving read.

    model.safetensors   weights, under Hugging Face's Llama names
    config.json         the model's shape, as ``transformers.LlamaForCausalLM`` reads it
    tokenizer.json      the tokenizer, with ``tokenizer_config.json`` so that others load it unchanged
    fim_format.json     sentinels, orders and header of the sequences it was trained on
    treespan.json       version of this contract and where the weights come from; written last

Equal contents are equal bytes. Whatever is damaged or does not fit is a ``UserError`` that names
the file and the fix; nothing is guessed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.tokenizer import Tokenizer
from treespan.model.transformer import Transformer
from treespan.platform.config import build
from treespan.platform.errors import UserError

FORMAT_VERSION = 2
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
FIM_FORMAT = "fim_format.json"
ABOUT = "treespan.json"

_FROM_HUGGING_FACE = {
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


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; the model is in evaluation mode."""

    config: ModelConfig
    model: Transformer
    tokenizer: Tokenizer
    fim_format: FimFormat
    provenance: Mapping[str, Any]
    """What it was trained on and how, as training wrote it."""


def save_checkpoint(
    folder: Path,
    model_config: ModelConfig,
    state: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    fim_format: FimFormat,
    provenance: Mapping[str, Any],
) -> None:
    """Write a checkpoint into ``folder``, which is created; ``state`` is a model's state dict.

    All tensors must have one floating dtype, which becomes the checkpoint's. Raises ``UserError``
    if names or shapes are not those of the configuration, or the vocabulary does not fit.
    """
    _check_vocabulary(model_config, tokenizer, fim_format, "the checkpoint to save")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    if model_config.tie_embeddings:
        tensors.pop("lm_head.weight", None)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    _check_shapes(model_config, shapes, "the state to save")
    dtypes = {tensor.dtype for tensor in tensors.values()}
    if len(dtypes) > 1:
        raise UserError(f"the state to save mixes {dtypes}.", "Cast it to one dtype.")
    dtype = str(dtypes.pop()).removeprefix("torch.")

    folder.mkdir(parents=True, exist_ok=True)
    (folder / ABOUT).unlink(missing_ok=True)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    renderer = FimRenderer(fim_format, tokenizer)
    _write_json(folder / CONFIG, _hugging_face_config(model_config, dtype, renderer))
    (folder / TOKENIZER).write_text(tokenizer.serialized, encoding="utf-8")
    # Without it, transformers takes the family's own tokenizer class and splits text differently.
    _write_json(
        folder / TOKENIZER_CONFIG,
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": fim_format.bos,
            "eos_token": fim_format.eos,
            "pad_token": fim_format.pad,
            "model_max_length": model_config.max_positions,
            "clean_up_tokenization_spaces": False,
        },
    )
    _write_json(folder / FIM_FORMAT, fim_format.to_dict())
    about = {"format_version": FORMAT_VERSION, "provenance": dict(provenance)}
    _write_json(folder / ABOUT, about)


def load_checkpoint(
    folder: Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Checkpoint:
    """Read a checkpoint; weights are cast to ``dtype``, by default left as they are stored.

    Raises ``UserError`` as ``check_checkpoint`` does.
    """
    found = _read_parts(folder)
    with torch.device("meta"):
        model = Transformer(found.config)
    state: dict[str, Tensor] = {}
    with _open_weights(folder / WEIGHTS) as weights:
        for name in weights.keys():  # noqa: SIM118  (not a mapping)
            state[name] = weights.get_tensor(name).to(device=device, dtype=dtype)
    if found.config.tie_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, assign=True)
    if found.config.tie_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    return Checkpoint(
        found.config, model.eval(), found.tokenizer, found.fim_format, found.provenance
    )


def check_checkpoint(folder: Path) -> ModelConfig:
    """Everything that ``load_checkpoint`` checks, without reading the weights' values.

    Raises ``UserError`` for a missing or damaged file, names, shapes or a vocabulary that do not
    match, a configuration that this code does not implement, or another version of the contract.
    """
    return _read_parts(folder).config


@dataclass(frozen=True)
class _Parts:
    config: ModelConfig
    tokenizer: Tokenizer
    fim_format: FimFormat
    provenance: Mapping[str, Any]


def _read_parts(folder: Path) -> _Parts:
    if not folder.is_dir():
        raise UserError(f"there is no checkpoint folder {folder}.", "Give a folder with one.")
    missing = [
        name
        for name in (ABOUT, CONFIG, WEIGHTS, TOKENIZER, FIM_FORMAT)
        if not (folder / name).is_file()
    ]
    if missing:
        raise UserError(
            f"{folder} is no complete checkpoint: {', '.join(missing)} missing.",
            "Give the folder that training or export wrote, or write it again.",
        )
    about = _read_json(folder / ABOUT)
    version = about.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{folder / ABOUT} has format version {version!r}, this Treespan reads "
            f"{FORMAT_VERSION}.",
            "Use the Treespan that wrote it, or export it again.",
        )
    config = _model_config(_read_json(folder / CONFIG), str(folder / CONFIG))
    tokenizer = Tokenizer((folder / TOKENIZER).read_text(encoding="utf-8", errors="replace"))
    fim_format = build(FimFormat, _read_json(folder / FIM_FORMAT), where=str(folder / FIM_FORMAT))
    _check_vocabulary(config, tokenizer, fim_format, str(folder))
    with _open_weights(folder / WEIGHTS) as weights:
        shapes = {
            name: tuple(weights.get_slice(name).get_shape())
            for name in weights.keys()  # noqa: SIM118
        }
    _check_shapes(config, shapes, str(folder / WEIGHTS))
    return _Parts(config, tokenizer, fim_format, about.get("provenance", {}))


def _open_weights(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is damaged or incomplete ({error}).", "Copy it again, or export it again."
        ) from None


def _check_shapes(config: ModelConfig, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    with torch.device("meta"):
        expected = {
            name: tuple(tensor.shape) for name, tensor in Transformer(config).state_dict().items()
        }
    if config.tie_embeddings:
        del expected["lm_head.weight"]
    fix = "Use the config.json that belongs to these weights."
    if lacking := sorted(expected.keys() - shapes.keys()):
        raise UserError(f"{where} lacks {len(lacking)} tensors, first {lacking[0]}.", fix)
    if surplus := sorted(shapes.keys() - expected.keys()):
        raise UserError(
            f"{where} has {len(surplus)} tensors that the model does not have, first {surplus[0]}.",
            fix,
        )
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise UserError(
                f"{where}: {name} has shape {list(shapes[name])}, the configuration says "
                f"{list(shape)}.",
                fix,
            )


def _check_vocabulary(
    config: ModelConfig, tokenizer: Tokenizer, fim_format: FimFormat, where: str
) -> None:
    if tokenizer.vocab_size > config.vocab_size:
        raise UserError(
            f"{where}: the tokenizer has {tokenizer.vocab_size} ids, the model only "
            f"{config.vocab_size}.",
            "Use the tokenizer that the model was trained with.",
        )
    FimRenderer(fim_format, tokenizer)  # raises where the tokenizer lacks a sentinel


def _hugging_face_config(config: ModelConfig, dtype: str, renderer: FimRenderer) -> dict[str, Any]:
    ours = config.to_dict()
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **{theirs: ours[name] for theirs, name in _FROM_HUGGING_FACE.items()},
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        # Readers before transformers 5 know rope_theta and torch_dtype, later ones the others.
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "torch_dtype": dtype,
        "dtype": dtype,
        "bos_token_id": renderer.bos,
        "eos_token_id": renderer.eos,
        "pad_token_id": renderer.pad,
        "use_cache": True,
    }


def _model_config(values: Mapping[str, Any], where: str) -> ModelConfig:
    """``values`` of a ``config.json``; refuses what this transformer does not compute."""
    required = {"model_type": "llama", "hidden_act": "silu"}
    for key, wanted in required.items():
        if values.get(key) != wanted:
            raise UserError(
                f"{where}: {key} is {values.get(key)!r}, only {wanted!r} is implemented.",
                "Give a Llama checkpoint.",
            )
    rope = dict(values.get("rope_parameters") or values.get("rope_scaling") or {})
    scaling = rope.get("rope_type", rope.get("type", "default"))
    unsupported = {
        "attention_bias": values.get("attention_bias"),
        "mlp_bias": values.get("mlp_bias"),
        "rope scaling": scaling if scaling != "default" else None,
    }
    for key, value in unsupported.items():
        if value:
            raise UserError(f"{where}: {key} {value!r} is not implemented.", "Give another model.")
    theta = rope.get("rope_theta", values.get("rope_theta"))
    ours = {name: values[key] for key, name in _FROM_HUGGING_FACE.items() if key in values}
    if theta is None:
        raise UserError(f"{where}: 'rope_theta' is missing.", "Add it.")
    config = build(ModelConfig, {**ours, "rope_theta": theta}, where=where)
    if values.get("head_dim") not in (None, config.head_dim):
        raise UserError(
            f"{where}: head_dim {values['head_dim']} is not hidden_size / num_attention_heads, "
            f"which is all that is implemented.",
            "Give another model.",
        )
    return config


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path} is no JSON ({error}).", "Write it again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object.", "Write it again.")
    return value


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
