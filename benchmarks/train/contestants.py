"""One training step of each contestant: forward, backward, clipping, update.

All have the same shape and the same number of tokens, and compute in bfloat16. Under DeepSpeed are
ours and Hugging Face's, with one configuration; litgpt steps as its own ``pretrain.py`` does, without
Fabric's wrappers: with float32 weights that are cast (``bf16-mixed``, which it takes by default for
training where bfloat16 is), or on bfloat16 weights alone (``bf16-true``), without any in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from benchmarks.train.engine import deepspeed_engine
from torch import Tensor, nn

from treespan.model.attention import document_ids, document_positions
from treespan.model.config import ModelConfig
from treespan.model.loss import token_losses
from treespan.model.packed_attention import packed_rows
from treespan.model.transformer import Transformer, init_weights

Step = Callable[[], float]
"""One training step; returns its mean loss."""


@dataclass(frozen=True)
class Rows:
    """What a step trains on: random tokens, each row as one document or as several."""

    tokens: Tensor  # int64 [B, T]
    targets: Tensor  # int64 [B, T]
    lengths: Sequence[Sequence[int]]  # of the documents of each row


def random_rows(rows: int, seq_len: int, documents: int, vocab_size: int) -> Rows:
    """``documents`` of unequal length to a row, the same in every call."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, vocab_size, (rows, seq_len + 1), generator=generator)
    lengths = []
    for _ in range(rows):
        cuts = torch.randperm(seq_len - 1, generator=generator)[: documents - 1] + 1
        edges = [0, *sorted(cuts.tolist()), seq_len]
        lengths.append([end - start for start, end in pairwise(edges)])
    return Rows(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), lengths)


class _Losses(nn.Module):
    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, tokens: Tensor, targets: Tensor, positions: Any, mask: Any) -> Tensor:
        hidden = self.transformer(tokens, positions, mask)
        return token_losses(hidden, self.transformer.output_weight, targets).mean()


def ours(config: ModelConfig, rows: Rows, compiled: bool = False) -> tuple[Step, Step]:
    """Steps without and with documents, of one model; ``compiled`` has torch compile its blocks."""
    model = _Losses(Transformer(config))
    init_weights(model.transformer, 0)
    if compiled:
        for layer in model.transformer.model.layers:
            layer.compile()
    engine = deepspeed_engine(model, len(rows.tokens))

    def step(positions: Any = None, mask: Any = None) -> float:
        loss = engine(rows.tokens, rows.targets, positions, mask)
        engine.backward(loss)
        engine.step()
        return float(loss.detach())

    def packed_step() -> float:
        # As in training, where every micro batch has other documents.
        documents = document_ids(rows.lengths, rows.tokens.shape[1])
        return step(document_positions(documents), packed_rows(documents))

    return step, packed_step


def hugging_face(config: ModelConfig, rows: Rows) -> Step:
    """``LlamaForCausalLM`` with its default attention and its own loss."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads,
            max_position_embeddings=config.max_positions,
            rms_norm_eps=config.norm_eps,
            tie_word_embeddings=config.tie_embeddings,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            use_cache=False,
        )
    ).train()
    engine = deepspeed_engine(model, len(rows.tokens))

    def step() -> float:
        # shift_labels: the labels are already those of the next token.
        loss = engine(input_ids=rows.tokens, labels=rows.targets, shift_labels=rows.targets).loss
        engine.backward(loss)
        engine.step()
        return float(loss.detach())

    return step


def litgpt(config: ModelConfig, rows: Rows, *, mixed: bool = False, compiled: bool = False) -> Step:
    """litgpt's ``GPT`` in its Llama variant, ``compiled`` as by its ``pretrain.py``, or eager.

    Raises ``ImportError`` where it is not installed.
    """
    from litgpt.model import GPT, Config
    from litgpt.utils import chunked_cross_entropy

    model = GPT(
        Config(
            block_size=rows.tokens.shape[1],
            padded_vocab_size=config.vocab_size,
            vocab_size=config.vocab_size,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            n_query_groups=config.num_kv_heads,
            n_embd=config.hidden_size,
            intermediate_size=config.intermediate_size,
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
            norm_class_name="RMSNorm",
            norm_eps=config.norm_eps,
            mlp_class_name="LLaMAMLP",
            rope_base=int(config.rope_theta),
        )
    ).to(torch.float32 if mixed else torch.bfloat16)
    if compiled:
        model.compile()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, betas=(0.9, 0.95))

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            logits = model(rows.tokens)
        loss = chunked_cross_entropy(logits, rows.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step
