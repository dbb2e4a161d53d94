"""Adapters as files of the library PEFT, so that other software can load them beside their base.

A folder with ``adapter_model.safetensors`` and ``adapter_config.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from treespan.model.lora import Adapters, adapter_state, add_adapters
from treespan.model.transformer import Transformer
from treespan.platform.errors import UserError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_EMBEDDINGS = ["embed_tokens", "lm_head"]
_PLAIN = {
    "peft_type": "LORA",
    "bias": "none",
    "fan_in_fan_out": False,
    "use_rslora": False,
    "use_dora": False,
    "rank_pattern": {},
    "alpha_pattern": {},
    "layers_to_transform": None,
    "layers_pattern": None,
}
"""What an adapter must have to be one of ours; anything else computes something else."""


def save_adapters(
    folder: Path,
    state: Mapping[str, Tensor],
    adapters: Adapters,
    *,
    base: str,
    revision: str | None = None,
) -> None:
    """Write the trained tensors of ``state`` (names of the model, any dtype) to ``folder``.

    ``base`` is the name or folder of the model that they belong to, and ``revision`` its commit;
    PEFT loads that model where it is given neither. Of tied embeddings both names are written, since
    PEFT keeps two modules. Equal contents are equal bytes.
    """
    trained = adapter_state(state, adapters)
    if adapters.train_embeddings:
        trained.setdefault("lm_head.weight", state["model.embed_tokens.weight"])
    folder.mkdir(parents=True, exist_ok=True)
    # Names that share memory are refused by safetensors.
    tensors = {_their_name(name): tensor.detach().cpu().clone() for name, tensor in trained.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        **_PLAIN,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "revision": revision,
        "r": adapters.rank,
        "lora_alpha": adapters.alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(adapters.targets),
        "modules_to_save": _EMBEDDINGS if adapters.train_embeddings else None,
        "inference_mode": True,
    }
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def load_adapters(transformer: Transformer, folder: Path) -> Adapters:
    """Add the adapters of ``folder`` to ``transformer``, in place; everything else is frozen.

    Raises ``UserError`` for files that are missing or damaged, for kinds of adapters that are not
    plain LoRA, and for tensors that do not fit the model.
    """
    adapters = _adapters(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder / WEIGHTS} cannot be read ({error}).", "Copy it again.") from None
    add_adapters(transformer, adapters, seed=0)
    expected = adapter_state(transformer.state_dict(), adapters)
    fix = "Give the adapters of this model."
    ours = {_our_name(name): tensor for name, tensor in tensors.items()}
    if differing := sorted(expected.keys() ^ ours.keys()):
        where = "lacks" if differing[0] in expected else "has, and the model has not,"
        raise UserError(f"{folder / WEIGHTS} {where} {differing[0]}.", fix)
    with torch.no_grad():
        for name, place in expected.items():
            if place.shape != ours[name].shape:
                raise UserError(
                    f"{folder / WEIGHTS}: {name} has shape {list(ours[name].shape)}, the model's "
                    f"has {list(place.shape)}.",
                    fix,
                )
            place.copy_(ours[name])
    return adapters


def _adapters(folder: Path) -> Adapters:
    path = folder / CONFIG
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        adapters = Adapters(
            rank=int(values["r"]),
            alpha=float(values["lora_alpha"]),
            targets=tuple(sorted(values["target_modules"])),
            train_embeddings=bool(values.get("modules_to_save")),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is no configuration of an adapter ({error}).", "Copy it again."
        ) from None
    saved = values.get("modules_to_save")
    plain = {**_PLAIN, "modules_to_save": _EMBEDDINGS if saved else None}
    found = {**values, "modules_to_save": sorted(saved) if saved else None}
    for key, wanted in plain.items():
        if found.get(key, wanted) != wanted and (found.get(key) or wanted):
            raise UserError(
                f"{path}: {key} is {found[key]!r}, only {wanted!r} is implemented.",
                "Merge the adapters into their base with PEFT, and start from that.",
            )
    return adapters


def _their_name(name: str) -> str:
    return _PREFIX + name.replace(".lora_a", ".lora_A.weight").replace(".lora_b", ".lora_B.weight")


def _our_name(name: str) -> str:
    plain = name.removeprefix(_PREFIX)
    return plain.replace(".lora_A.weight", ".lora_a").replace(".lora_B.weight", ".lora_b")
