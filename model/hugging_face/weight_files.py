"""The files of weights in a folder: one, or shards with an index, as transformers has them.

Memory holds one shard while writing, whatever the size of the model, and one tensor while reading.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from treespan.platform.errors import UserError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TORCH_WEIGHTS = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"
MAX_SHARD_BYTES = 5_000_000_000
"""transformers' default until version 5 (now 50 GB): what tools and object stores like to handle."""


def write_weights(
    folder: Path, tensors: Iterable[tuple[str, Tensor]], max_shard_bytes: int = MAX_SHARD_BYTES
) -> None:
    """Write ``tensors`` into an empty folder, a new shard before one would pass the limit.

    A single shard is ``model.safetensors`` and has no index. A tensor larger than the limit has a
    shard of its own. Which tensors share a shard follows from their order.
    """
    shards: list[list[str]] = []
    shard: dict[str, Tensor] = {}
    shard_bytes = total_bytes = parameters = 0

    def flush() -> None:
        save_file(shard, folder / _partial(len(shards)), metadata={"format": "pt"})
        shards.append(list(shard))
        shard.clear()

    for name, tensor in tensors:
        if shard and shard_bytes + tensor.nbytes > max_shard_bytes:
            flush()
            shard_bytes = 0
        shard[name] = _by_itself(tensor)
        shard_bytes += tensor.nbytes
        total_bytes += tensor.nbytes
        parameters += tensor.numel()
    flush()
    if len(shards) == 1:
        (folder / _partial(0)).rename(folder / WEIGHTS)
        return
    files = [f"model-{n + 1:05d}-of-{len(shards):05d}.safetensors" for n in range(len(shards))]
    for number, file in enumerate(files):
        (folder / _partial(number)).rename(folder / file)
    index = {
        "metadata": {"total_parameters": parameters, "total_size": total_bytes},
        "weight_map": {
            name: file for names, file in zip(shards, files, strict=True) for name in names
        },
    }
    text = json.dumps(index, indent=2, sort_keys=True)
    (folder / INDEX).write_text(text + "\n", encoding="utf-8")


def _partial(number: int) -> str:
    return f"shard-{number}"  # its name holds their number, which the end alone knows


def _by_itself(tensor: Tensor) -> Tensor:
    """On the CPU and in memory of its own: safetensors refuses slices of one another's memory."""
    tensor = tensor.detach().cpu().contiguous()
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def is_weights(name: str) -> bool:
    """Whether ``write_weights`` may have written a file of that name."""
    return name == INDEX or (name.startswith("model") and name.endswith(".safetensors"))


@dataclass(frozen=True)
class WeightFiles:
    """The files of one model."""

    paths: tuple[Path, ...]

    @staticmethod
    def find(folder: Path) -> WeightFiles:
        """Safetensors if there are any, or else torch's; whole before shards, as transformers.

        Raises ``UserError`` if there are none, an index is damaged, or a shard is missing.
        """
        for whole, index in ((WEIGHTS, INDEX), (TORCH_WEIGHTS, TORCH_INDEX)):
            if (folder / whole).is_file():
                return WeightFiles((folder / whole,))
            if (folder / index).is_file():
                return WeightFiles(_shards(folder / index))
        raise UserError(
            f"{folder} has no weights: neither {WEIGHTS} nor {INDEX}, and no {TORCH_WEIGHTS}.",
            "Give the whole folder of a model.",
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Each tensor's shape, by name. Raises ``UserError`` for a damaged file."""
        found: dict[str, tuple[int, ...]] = {}
        for path in self.paths:
            if path.suffix == ".safetensors":
                with _open(path) as file:
                    for name in file.keys():  # noqa: SIM118  (not a mapping)
                        found[name] = tuple(file.get_slice(name).get_shape())
            else:
                found |= {name: tuple(tensor.shape) for name, tensor in _load(path).items()}
        return found

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Name and values of each tensor, file by file. Raises ``UserError`` as ``shapes`` does."""
        for path in self.paths:
            if path.suffix == ".safetensors":
                with _open(path) as file:
                    for name in file.keys():  # noqa: SIM118  (not a mapping)
                        yield name, file.get_tensor(name)
            else:
                yield from _load(path).items()


def _shards(index: Path) -> tuple[Path, ...]:
    fix = "Copy the folder again, or export it again."
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index} is no index of weights ({error!r}).", fix) from None
    for name in names:
        # Whoever made the folder may not point out of it.
        if Path(name).name != name or not (index.parent / name).is_file():
            raise UserError(f"{index} names the file {name!r}, which is not beside it.", fix)
    return tuple(index.parent / name for name in names)


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path} is damaged or incomplete ({error}).", "Copy it again, or export it again."
        ) from None


def _load(path: Path) -> dict[str, Tensor]:
    """A file of ``torch.save``, mapped and not read; nothing in it is executed."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as plain weights ({str(error).splitlines()[0]}).",
            "Copy it again, or save the model as safetensors.",
        ) from None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise UserError(f"{path} holds no state dict.", "Save the model as safetensors.")
    return state
