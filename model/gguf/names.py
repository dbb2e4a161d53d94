"""Names and layout of tensors: llama.cpp's and those of Hugging Face's Llama, which are ours.

llama.cpp rotates neighbouring channels of a Llama together, channel i of ours rotates with i +
head_dim / 2. So its converter moves the rows of the query and key projections of that architecture,
and only of that: its ``qwen2`` rotates as we do.
"""

from __future__ import annotations

import re

from torch import Tensor

_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_OF_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TO_GGUF = {ours: theirs for theirs, ours in (_WHOLE | _OF_BLOCK).items()}
_GGUF_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")
_OUR_BLOCK = re.compile(r"model\.layers\.(\d+)\.([\w.]+)\.(weight|bias)")


def from_gguf(name: str) -> str | None:
    """Our name of a tensor of a GGUF; None for one that a Llama does not have."""
    if name in _WHOLE:
        return _WHOLE[name]
    found = _GGUF_BLOCK.fullmatch(name)
    if found is None or found[2] not in _OF_BLOCK:
        return None
    return f"model.layers.{found[1]}.{_OF_BLOCK[found[2]]}.{found[3]}"


def to_gguf(name: str) -> str:
    """llama.cpp's name of a parameter of ``Transformer``."""
    found = _OUR_BLOCK.fullmatch(name)
    if found is None:
        return _TO_GGUF[name]
    return f"blk.{found[1]}.{_TO_GGUF[found[2]]}.{found[3]}"


def rotary_heads(name: str, num_heads: int, num_kv_heads: int) -> int | None:
    """The heads of a parameter of ours whose rows llama.cpp moves; None if it leaves them."""
    if ".q_proj." in name:
        return num_heads
    return num_kv_heads if ".k_proj." in name else None


def to_neighbours(tensor: Tensor, heads: int) -> Tensor:
    """Rows ``[heads * head_dim, ...]`` as llama.cpp wants them: channel pairs side by side."""
    width = tensor.shape[0] // heads
    halves = tensor.view(heads, 2, width // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)


def to_halves(tensor: Tensor, heads: int) -> Tensor:
    """The inverse of ``to_neighbours``."""
    width = tensor.shape[0] // heads
    pairs = tensor.view(heads, width // 2, 2, *tensor.shape[1:])
    return pairs.transpose(1, 2).reshape(tensor.shape)
