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
    state = {
        key: tensor
        for key, tensor in checkpoint.model.state_dict().items()
        if key != "lm_head.weight" or not config.tie_embeddings
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        _write(partial, fields, state, matrix_type, config.num_heads, config.num_kv_heads)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return differing


def _write(
    path: Path,
    fields: Mapping[str, Any],
    state: Mapping[str, Tensor],
    matrix_type: GGMLQuantizationType,
    num_heads: int,
    num_kv_heads: int,
) -> None:
    architecture = str(fields[Keys.General.ARCHITECTURE])
    writer = GGUFWriter(path, architecture)
    for key, value in fields.items():
        if key != Keys.General.ARCHITECTURE and value != []:
            writer.add_key_value(key, value, _VALUE_TYPES[type(value)])
    stored = {name: _stored_type(tensor, matrix_type) for name, tensor in state.items()}
    for name, tensor in state.items():
        kind = stored[name]
        byte_shape = quant_shape_to_byte_shape(tuple(tensor.shape), kind)
        writer.add_tensor_info(
            to_gguf(name),
            byte_shape,
            np.dtype(np.uint8),
            int(np.prod(byte_shape)),
            raw_dtype=kind,
        )
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in state.items():
            heads = rotary_heads(name, num_heads, num_kv_heads)
            if architecture == "llama" and heads is not None:
                tensor = to_neighbours(tensor, heads)
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
