"""Reads a GGUF: a model of the Llama class, its vocabulary and its weights in plain floats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, GGUFReader, ReaderTensor
from gguf.quants import dequantize
from torch import Tensor

from treespan.model.config import ModelConfig
from treespan.model.fim_format import FimFormat
from treespan.model.gguf.names import from_gguf, rotary_heads, to_halves
from treespan.model.gguf.rotary import FACTORS, with_factors
from treespan.model.gguf.shape import config_of
from treespan.model.gguf.vocabulary import fim_format_of, tokenizer_json
from treespan.platform.errors import UserError

_VIEWS = {
    GGMLQuantizationType.F32: (np.float32, torch.float32),
    GGMLQuantizationType.F16: (np.float16, torch.float16),
    GGMLQuantizationType.BF16: (np.uint16, torch.bfloat16),
}
"""Types that torch has too, and how their bytes are taken."""


@dataclass(frozen=True)
class GgufModel:
    """A model in a GGUF; its weights stay in the file until they are asked for."""

    config: ModelConfig
    tokenizer_json: str
    fim_format: FimFormat | None
    """None where the file does not tell."""
    path: Path
    _reader: GGUFReader
    _pairs_rows: bool

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Weights under the names of ``Transformer``, one by one; a tied head is left out.

        float32, float16 and bfloat16 as they are stored, whatever is quantised as float32. Raises
        ``UserError`` for a way to quantise that the library ``gguf`` does not undo, and for a
        tensor that a Llama does not have.
        """
        for stored in self._reader.tensors:
            if stored.name == FACTORS:
                continue
            name = from_gguf(stored.name)
            if name is None:
                raise UserError(
                    f"{self.path} has a tensor {stored.name}, which a Llama does not have.",
                    "Give another model.",
                )
            tensor = _read(stored, self.path)
            heads = rotary_heads(name, self.config.num_heads, self.config.num_kv_heads)
            if self._pairs_rows and heads is not None:
                tensor = to_halves(tensor, heads)
            yield name, tensor


def read_gguf(path: str | Path) -> GgufModel:
    """The model in the GGUF at ``path``.

    Raises ``UserError`` if there is none, it is damaged, or it holds another architecture or kind
    of vocabulary than those that are implemented.
    """
    path = Path(path)
    try:
        reader = GGUFReader(path)
        fields: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items()}
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}).", "Give a .gguf file."
        ) from None
    # The library checks little: whatever is cut off or overwritten fails somewhere in its parser.
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise UserError(
            f"{path} is no GGUF, or is damaged ({error}).", "Copy it again, or give a .gguf file."
        ) from None
    shapes = {
        tensor.name: tuple(int(size) for size in reversed(tensor.shape))
        for tensor in reader.tensors
    }
    config = config_of(fields, shapes, str(path))
    for stored in reader.tensors:
        if stored.name == FACTORS:
            config = with_factors(config, _read(stored, path), str(path))
    return GgufModel(
        config,
        tokenizer_json(fields, str(path)),
        fim_format_of(fields, str(path)),
        path,
        reader,
        _pairs_rows=fields["general.architecture"] == "llama",
    )


def _read(stored: ReaderTensor, path: Path) -> Tensor:
    shape = tuple(int(size) for size in reversed(stored.shape))
    view = _VIEWS.get(stored.tensor_type)
    if view is not None:
        values = np.array(stored.data).view(view[0])
        return torch.from_numpy(values).view(view[1]).reshape(shape)
    try:
        values = dequantize(stored.data, stored.tensor_type)
    except NotImplementedError:
        raise UserError(
            f"{path}: {stored.name} is quantised as {stored.tensor_type.name}, which "
            f"cannot be undone here.",
            "Give the model in another quantisation: Q8_0, Q4_K, Q6_K, F16, BF16.",
        ) from None
    return torch.from_numpy(values).reshape(shape)
