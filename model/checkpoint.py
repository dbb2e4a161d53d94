"""The checkpoint: a folder that training writes, and that evaluation and serving read.

    model.safetensors   weights, under Hugging Face's names; larger models in shards with an index
    config.json         the model's shape, as transformers reads it: Llama's, or Qwen2's by biases
    tokenizer.json      the tokenizer, with ``tokenizer_config.json`` so that others load it unchanged
    fim_format.json     sentinels, orders and header of the sequences it was trained on
    treespan.json       version of this contract and where the weights come from; written last

Equal contents are equal bytes. Whatever is damaged or does not fit is a ``UserError`` that names
the file and the fix; nothing is guessed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.hugging_face.config_json import from_json, to_json
from treespan.model.hugging_face.weight_files import (
    MAX_SHARD_BYTES,
    WeightFiles,
    is_weights,
    write_weights,
)
from treespan.model.tokenizer import Tokenizer
from treespan.model.transformer import Transformer
from treespan.platform.config import build
from treespan.platform.errors import UserError

FORMAT_VERSION = 2
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
FIM_FORMAT = "fim_format.json"
ABOUT = "treespan.json"


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
    state: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]],
    tokenizer: Tokenizer,
    fim_format: FimFormat,
    provenance: Mapping[str, Any],
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a checkpoint into ``folder``, which is created.

    ``state`` is a model's state dict, or its items one by one: no more than ``max_shard_bytes`` of
    them are held at once. All tensors must have one floating dtype, which becomes the checkpoint's.
    Raises ``UserError`` if names or shapes are not those of the configuration, or the vocabulary
    does not fit. Whatever fails, ``folder`` keeps the checkpoint that it had, or has none.
    """
    _check_vocabulary(model_config, tokenizer, fim_format, "the checkpoint to save")
    renderer = FimRenderer(fim_format, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as temporary:
        staging = Path(temporary)
        items = state.items() if isinstance(state, Mapping) else state
        fitting = _FittingState(model_config, items)
        write_weights(staging, fitting, max_shard_bytes)
        _write_json(
            staging / CONFIG,
            {
                **to_json(model_config, fitting.dtype_name),
                "bos_token_id": renderer.bos,
                "eos_token_id": renderer.eos,
                "pad_token_id": renderer.pad,
            },
        )
        (staging / TOKENIZER).write_text(tokenizer.serialized, encoding="utf-8")
        # Without it, transformers takes the family's own tokenizer class and splits text
        # differently.
        _write_json(
            staging / TOKENIZER_CONFIG,
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": fim_format.bos,
                "eos_token": fim_format.eos,
                "pad_token": fim_format.pad,
                "model_max_length": model_config.max_positions,
                "clean_up_tokenization_spaces": False,
            },
        )
        _write_json(staging / FIM_FORMAT, fim_format.to_dict())
        about = {"format_version": FORMAT_VERSION, "provenance": dict(provenance)}
        _write_json(staging / ABOUT, about)
        _publish(staging, folder)


def _publish(staging: Path, folder: Path) -> None:
    """Move the files of ``staging``; between the first and the last there is no checkpoint."""
    (folder / ABOUT).unlink(missing_ok=True)
    for old in list(folder.iterdir()):
        if is_weights(old.name):
            old.unlink()
    for new in sorted(staging.iterdir(), key=lambda path: path.name == ABOUT):
        new.replace(folder / new.name)


class _FittingState:
    """The items of a state, each checked against the configuration when it comes."""

    def __init__(self, config: ModelConfig, items: Iterable[tuple[str, Tensor]]) -> None:
        self._config, self._items = config, items
        self._dtypes: set[torch.dtype] = set()

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        where, expected = "the state to save", expected_shapes(self._config)
        shapes: dict[str, tuple[int, ...]] = {}
        for name, tensor in self._items:
            if name == "lm_head.weight" and self._config.tie_embeddings:
                continue
            if name in shapes or tuple(tensor.shape) != expected.get(name):
                check_shapes(self._config, {**expected, name: tuple(tensor.shape)}, where)
                raise UserError(f"{where} has {name} twice.", "Give each tensor once.")
            shapes[name] = tuple(tensor.shape)
            self._dtypes.add(tensor.dtype)
            if len(self._dtypes) > 1:
                raise UserError(f"{where} mixes {self._dtypes}.", "Cast it to one dtype.")
            yield name, tensor
        check_shapes(self._config, shapes, where)

    @property
    def dtype_name(self) -> str:
        (dtype,) = self._dtypes
        return str(dtype).removeprefix("torch.")


def load_checkpoint(
    folder: Path, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> Checkpoint:
    """Read a checkpoint; weights are cast to ``dtype``, by default left as they are stored.

    Raises ``UserError`` as ``check_checkpoint`` does.
    """
    found = _read_parts(folder)
    with torch.device("meta"):
        model = Transformer(found.config)
    state = {
        name: tensor.to(device=device, dtype=dtype) for name, tensor in found.weights.tensors()
    }
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
    weights: WeightFiles
    tokenizer: Tokenizer
    fim_format: FimFormat
    provenance: Mapping[str, Any]


def _read_parts(folder: Path) -> _Parts:
    if not folder.is_dir():
        raise UserError(f"there is no checkpoint folder {folder}.", "Give a folder with one.")
    missing = [
        name for name in (ABOUT, CONFIG, TOKENIZER, FIM_FORMAT) if not (folder / name).is_file()
    ]
    if missing:
        raise UserError(
            f"{folder} is no complete checkpoint: {', '.join(missing)} missing.",
            "Give the folder that training or export wrote, or write it again.",
        )
    about = read_json(folder / ABOUT)
    version = about.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{folder / ABOUT} has format version {version!r}, this Treespan reads "
            f"{FORMAT_VERSION}.",
            "Use the Treespan that wrote it, or export it again.",
        )
    config = from_json(read_json(folder / CONFIG), str(folder / CONFIG))
    tokenizer = Tokenizer((folder / TOKENIZER).read_text(encoding="utf-8", errors="replace"))
    fim_format = build(FimFormat, read_json(folder / FIM_FORMAT), where=str(folder / FIM_FORMAT))
    _check_vocabulary(config, tokenizer, fim_format, str(folder))
    weights = WeightFiles.find(folder)
    check_shapes(config, weights.shapes(), f"the weights in {folder}")
    return _Parts(config, weights, tokenizer, fim_format, about.get("provenance", {}))


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The names of a model's tensors in a file, and their shapes; a tied head has none."""
    with torch.device("meta"):
        state = Transformer(config).state_dict()
    if config.tie_embeddings:
        del state["lm_head.weight"]
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def check_shapes(config: ModelConfig, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise ``UserError`` unless ``shapes`` by name are those that ``config`` asks for."""
    expected = expected_shapes(config)
    fix = "Use the config.json that belongs to these weights."
    if lacking := sorted(expected.keys() - shapes.keys()):
        count = len(lacking)
        raise UserError(f"{where}: {count} tensors are missing, first {lacking[0]}.", fix)
    if surplus := sorted(shapes.keys() - expected.keys()):
        raise UserError(
            f"{where}: the model does not have {len(surplus)} of the tensors, first {surplus[0]}.",
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


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ``UserError`` for anything else."""
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
