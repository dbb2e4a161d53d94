"""The Llama architecture: pre-norm blocks of grouped-query attention and a gated feed-forward.

Legend: B rows, T tokens, D hidden size, H query heads, K key heads, d head width, V vocabulary.

What to know before reading:

- Parameter names are those of Hugging Face's ``LlamaForCausalLM`` and ``Qwen2ForCausalLM``, so a
  state dict needs no map.
- ``forward`` ends before the output projection. Training never needs all logits at once (see
  ``loss``), and generation needs those of the last token only.
- No biases but those of ``attention_bias``. Norm statistics and rotary tables are float32 whatever
  the weights are.
- No buffers: whatever casts the model casts weights only.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from treespan.model.attention import KvCache, PackedRows, attend
from treespan.model.config import ModelConfig
from treespan.model.fused import rms_norm, rotate, swiglu
from treespan.model.rope import rope_tables
from treespan.model.sequence_parallel import SequenceGroup, SharedRows


class RmsNorm(nn.Module):
    """Root mean square norm (arXiv 1910.07467) with a gain; statistics in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """``[..., D]`` to the same shape and dtype."""
        return rms_norm(x, self.weight, self.eps)


class SelfAttention(nn.Module):
    """Grouped-query attention (arXiv 2305.13245) with rotary positions."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        q_size, kv_size = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        qkv_bias, o_bias = config.attention_bias != "none", config.attention_bias == "all"
        self.q_proj = nn.Linear(config.hidden_size, q_size, bias=qkv_bias)
        self.k_proj = nn.Linear(config.hidden_size, kv_size, bias=qkv_bias)
        self.v_proj = nn.Linear(config.hidden_size, kv_size, bias=qkv_bias)
        self.o_proj = nn.Linear(q_size, config.hidden_size, bias=o_bias)

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        mask: Tensor | PackedRows | None,
        cache: KvCache | None,
    ) -> Tensor:
        """``[B, T, D]`` to ``[B, T, D]``; the cache, if any, takes this layer's keys and values."""
        query = rotate(self._heads(self.q_proj(x)), *rope)
        key = rotate(self._heads(self.k_proj(x)), *rope)
        value = self._heads(self.v_proj(x))
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        mixed = attend(query, key, value, mask)
        projected: Tensor = self.o_proj(mixed.transpose(1, 2).flatten(2))
        return projected

    def _heads(self, x: Tensor) -> Tensor:
        """``[B, T, H * d]`` to ``[B, H, T, d]``."""
        return x.view(*x.shape[:2], -1, self.head_dim).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T, D]``."""
        out: Tensor = self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))
        return out


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        self.self_attn = SelfAttention(config, layer)
        self.post_attention_layernorm = RmsNorm(config.hidden_size, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(
        self,
        x: Tensor,
        rope: tuple[Tensor, Tensor],
        mask: Tensor | PackedRows | None,
        cache: KvCache | None,
    ) -> Tensor:
        """``[B, T, D]`` to ``[B, T, D]``."""
        x = x + self.self_attn(self.input_layernorm(x), rope, mask, cache)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Embedding, blocks and the last norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_layers))
        self.norm = RmsNorm(config.hidden_size, config.norm_eps)


class Transformer(nn.Module):
    """A causal language model.

    Weights are torch's default draw until ``init_weights`` or a checkpoint sets them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.checkpoint_activations = False
        """Whether training keeps only the inputs of blocks and computes them anew backwards."""
        self.sequence_group: SequenceGroup | None = None
        """The workers that hold the other tokens of the rows, if rows are shared."""

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | PackedRows | None = None,
        cache: KvCache | None = None,
    ) -> Tensor:
        """Hidden states ``[B, T, D]`` after the last norm, in the dtype of the weights.

        ``tokens`` is int64 ``[B, T]``. ``positions`` is int64 ``[B, T]``, by default those that
        follow the cache. ``mask`` is bool ``[B, 1, T, S]``, true where a token may look, with S = T
        plus the length of the cache, or packed rows; without it every token sees all before it.
        ``cache`` is read and extended; it is for inference only. In a sequence group, tokens and
        positions (which then must be given) are this worker's part, and the mask is of whole rows.
        """
        if self.sequence_group is not None:
            mask = SharedRows(mask, self.sequence_group)
        if positions is None:
            if self.sequence_group is not None:
                raise ValueError("a part of a row needs its positions")
            start = 0 if cache is None else cache.length
            positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)[None]
        rope = rope_tables(positions, self.config)
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            if self.checkpoint_activations and torch.is_grad_enabled():
                x = checkpoint(layer, x, rope, mask, cache, use_reentrant=False)
            else:
                x = layer(x, rope, mask, cache)
        if cache is not None:
            cache.advance(tokens.shape[1])
        hidden: Tensor = self.model.norm(x)
        return hidden

    def project(self, hidden: Tensor) -> Tensor:
        """Logits ``[B, T, V]`` of hidden states ``[B, T, D]``, in the dtype of the weights."""
        logits: Tensor = self.lm_head(hidden)
        return logits

    @property
    def output_weight(self) -> Tensor:
        """The output projection ``[V, D]``, for ``loss.token_losses``."""
        return self.lm_head.weight


@torch.no_grad()
def init_weights(model: Transformer, seed: int) -> None:
    """Set fresh weights in place, those of ``drawn_weights``."""
    parameters = dict(model.named_parameters())
    for name, draw in drawn_weights(model, seed):
        parameters[name].copy_(draw)


def drawn_weights(model: Transformer, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Fresh weights by name, one at a time: normal with ``init_std``, norms 1, biases 0.

    The two projections that write to the residual stream are scaled down by sqrt(2 L), as in GPT-2,
    so that its variance does not grow with depth. Drawn in float32 on the CPU, parameter by
    parameter in their order: the same for every dtype, device and number of workers. ``model`` is
    asked for names and shapes only.
    """
    generator = torch.Generator().manual_seed(seed)
    residual_std = model.config.init_std / (2 * model.config.num_layers) ** 0.5
    for name, parameter in model.named_parameters():
        draw = torch.empty(parameter.shape, dtype=torch.float32, device="cpu")
        if parameter.ndim == 1:
            yield name, draw.fill_(0.0 if name.endswith(".bias") else 1.0)
            continue
        writes_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        std = residual_std if writes_residual else model.config.init_std
        yield name, draw.normal_(0.0, std, generator=generator)
