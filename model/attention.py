"""Attention over whole rows, packed documents, or a key-value cache, all through one function.

Legend: B rows, T tokens of this pass, S keys (cached and new), H query heads, K key heads, d head
width.

``torch.nn.functional.scaled_dot_product_attention`` with a boolean mask is the one back end that
trains and serves on CPU and GPU alike; those of ``packed_attention`` must agree with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from treespan.model.config import ModelConfig


class PackedRows(ABC):
    """Which documents fill the rows of one pass, prepared for one back end of attention."""

    @abstractmethod
    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``[B, H, T, d]`` of ``query`` ``[B, H, T, d]``, ``key`` and ``value`` ``[B, K, T, d]``.

        Causal inside each document, nothing across.
        """


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | PackedRows | None) -> Tensor:
    """Scaled dot-product attention: ``[B, H, T, d]``.

    ``query`` is ``[B, H, T, d]``; ``key`` and ``value`` are ``[B, K, S, d]``, where each key head
    serves H / K neighbouring query heads. ``mask`` is bool ``[B, 1, T, S]``, true where a query may
    look; every query needs at least one key. Packed rows say how they want to be computed
    themselves. Without a mask the T queries are the last of the S positions and see everything up
    to themselves.
    """
    if isinstance(mask, PackedRows):
        return mask.attend(query, key, value)
    queries, keys = query.shape[2], key.shape[2]
    if mask is None and 1 < queries < keys:
        mask = _last_positions_mask(queries, keys, query.device)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None and queries > 1,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _last_positions_mask(queries: int, keys: int, device: torch.device) -> Tensor:
    """bool ``[1, 1, T, S]``: ``is_causal`` would align the first query with the first key."""
    query_positions = torch.arange(keys - queries, keys, device=device)
    return torch.arange(keys, device=device)[None, None, None, :] <= query_positions[:, None]


def document_ids(lengths: Sequence[Sequence[int]], seq_len: int) -> Tensor:
    """int64 ``[B, seq_len]``: which document of its row each token belongs to, from 0.

    ``lengths`` holds the token counts of each row's documents. What is left of a row is padding and
    counts as one more document. Raises ``ValueError`` where documents are longer than the row.
    """
    rows = torch.empty(len(lengths), seq_len, dtype=torch.int64)
    for row, row_lengths in zip(rows, lengths, strict=True):
        rest = seq_len - sum(row_lengths)
        if rest < 0:
            raise ValueError(f"documents of {sum(row_lengths)} tokens in a row of {seq_len}")
        counts = torch.tensor([*row_lengths, rest])
        row.copy_(torch.repeat_interleave(torch.arange(len(counts)), counts))
    return rows


def document_positions(ids: Tensor) -> Tensor:
    """int64 ``[B, T]``: each token's place in its own document, for ``document_ids``."""
    places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    starts = torch.ones_like(ids, dtype=torch.bool)
    starts[:, 1:] = ids[:, 1:] != ids[:, :-1]
    return places - torch.where(starts, places, 0).cummax(dim=1).values


def document_mask(ids: Tensor) -> Tensor:
    """bool ``[B, 1, T, T]``: causal inside each document of ``document_ids``, nothing across."""
    same = ids[:, :, None] == ids[:, None, :]
    return same.tril()[:, None]


class KvCache:
    """Keys and values of the tokens seen so far, in room that is allocated once."""

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        *,
        rows: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.num_layers, rows, config.num_kv_heads, capacity, config.head_dim)
        self._keys = torch.empty(shape, dtype=dtype, device=device)
        self._values = torch.empty(shape, dtype=dtype, device=device)
        self.capacity = capacity
        self.length = 0
        """Tokens held, the same for every row."""

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write ``[B, K, T, d]`` of new tokens; return all ``[B, K, length + T, d]`` as views.

        The length grows by ``advance``, once all layers have written. Raises ``ValueError`` where
        the room does not suffice.
        """
        end = self.length + key.shape[2]
        if end > self.capacity:
            raise ValueError(f"{end} tokens in a cache of {self.capacity}")
        self._keys[layer, :, :, self.length : end] = key
        self._values[layer, :, :, self.length : end] = value
        return self._keys[layer, :, :, :end], self._values[layer, :, :, :end]

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` that every layer has written."""
        self.length += tokens
