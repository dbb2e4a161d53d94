"""Writes a checkpoint as a GGUF for llama.cpp and what is built on it; one tensor at a time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gguf import (
    GGML_QUANT_VERSION,
    GGMLQuantizationType,
    GGUFValueType,
    GGUFWriter,
    Keys,
    LlamaFileType,
    quant_shape_to_byte_shape,
)
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quantize
from numpy.typing import NDArray
from torch import Tensor

from treespan.model.checkpoint import Checkpoint
from treespan.model.gguf.names import rotary_heads, to_gguf, to_neighbours
from treespan.model.gguf.rotary import FACTORS, scaling_factors
from treespan.model.gguf.shape import shape_fields
from treespan.model.gguf.vocabulary import vocabulary_fields

Dtype = Literal["f32", "f16", "bf16", "q8_0"]

_STORED = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
_VALUE_TYPES = {
    bool: GGUFValueType.BOOL,
    int: GGUFValueType.UINT32,
    float: GGUFValueType.FLOAT32,
    str: GGUFValueType.STRING,
    list: GGUFValueType.ARRAY,
}


def write_gguf(checkpoint: Checkpoint, path: Path, dtype: Dtype, *, name: str = "") -> float:
    """Write ``checkpoint`` to ``path``, which appears once it is complete; matrices as ``dtype``.

    Norms and biases are float32 always, as llama.cpp's own converter has it, and a matrix whose
    rows are no multiple of a block's 32 values is float16 where q8_0 is asked for. Equal
    checkpoints give equal bytes. ``name`` is what programs show. Returns the share of the tokens
    of code that llama.cpp cuts differently (``pre_tokenizers.nearest``). Raises ``UserError`` for a
    vocabulary that a GGUF cannot hold.
    """
    config = checkpoint.config
    vocabulary, differing = vocabulary_fields(
        checkpoint.tokenizer, checkpoint.fim_format, config.vocab_size
    )
    matrix_type, file_type = _STORED[dtype]
    shape = shape_fields(config)
    fields: dict[str, Any] = {
        "general.name": name or path.stem,
        "general.file_type": int(file_type),
        "general.quantization_version": GGML_QUANT_VERSION,
        **shape,
        **vocabulary,
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write(partial, fields, _state(checkpoint), matrix_type)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return differing


def _state(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Tensors by llama.cpp's names and in its layout; only queries' and keys' are copies."""
    config = checkpoint.config
    factors = scaling_factors(config)
    state = {} if factors is None else {FACTORS: factors}
    for name, tensor in checkpoint.model.state_dict().items():
        if name == "lm_head.weight" and config.tie_embeddings:
            continue
        heads = rotary_heads(name, config.num_heads, config.num_kv_heads)
        if heads is not None and config.attention_bias != "qkv":
            tensor = to_neighbours(tensor, heads)
        state[to_gguf(name)] = tensor
    return state


def _write(
    path: Path,
    fields: Mapping[str, Any],
    state: Mapping[str, Tensor],
    matrix_type: GGMLQuantizationType,
) -> None:
    writer = GGUFWriter(path, str(fields[Keys.General.ARCHITECTURE]))
    for key, value in fields.items():
        # The writer adds the architecture itself, and a list must not be empty.
        if key != Keys.General.ARCHITECTURE and value != []:
            writer.add_key_value(key, value, _VALUE_TYPES[type(value)])
    stored = {name: _stored_type(tensor, matrix_type) for name, tensor in state.items()}
    for name, tensor in state.items():
        byte_shape = quant_shape_to_byte_shape(tuple(tensor.shape), stored[name])
        size = int(np.prod(byte_shape))
        writer.add_tensor_info(name, byte_shape, np.dtype(np.uint8), size, raw_dtype=stored[name])
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in state.items():
            writer.write_tensor_data(_bytes(tensor, stored[name]))
    finally:
        writer.close()


def _stored_type(tensor: Tensor, matrix_type: GGMLQuantizationType) -> GGMLQuantizationType:
    if tensor.ndim == 1:
        return GGMLQuantizationType.F32
    fits = tensor.shape[-1] % GGML_QUANT_SIZES[matrix_type][0] == 0
    return matrix_type if fits else GGMLQuantizationType.F16


def _bytes(tensor: Tensor, kind: GGMLQuantizationType) -> NDArray[np.uint8]:
    if kind == GGMLQuantizationType.BF16 and tensor.dtype == torch.bfloat16:
        values: NDArray[Any] = tensor.contiguous().view(torch.uint16).numpy()
    else:
        values = quantize(tensor.float().contiguous().numpy(), kind)
    return np.ascontiguousarray(values).view(np.uint8)
