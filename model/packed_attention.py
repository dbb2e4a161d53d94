"""Back ends of attention over rows of packed documents.

    sdpa       one boolean mask for all pairs of positions: the reference, on every device
    documents  one causal call per document: no work across documents, on every device
    flex       FlexAttention with a mask of blocks: one compiled kernel for any lengths, on a GPU
    varlen     flash attention over documents of any lengths in one call, on a GPU, in 16 bits

All give the same numbers up to rounding. A document is a run of equal ids within its row.

Legend: B rows, T tokens in a row, H query heads, K key heads, d head width, N documents.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from treespan.model.attention import PackedRows, document_mask
from treespan.platform.errors import UserError

BACKENDS = ("auto", "sdpa", "documents", "flex", "varlen")
"""What ``packed_rows`` takes."""

__all__ = ["BACKENDS", "PackedRows", "packed_rows"]

_FLEX_BLOCK = 128  # positions; what FlexAttention's kernels are tuned for
_WIDE_BELOW = 512
"""Tokens below which a CPU without AMX is faster in float32 than in bfloat16, forward and backward:
3 times at 32 tokens, level from 400 to 700, slower above (ours, on an EPYC; docs/model.md)."""


def packed_rows(
    document_ids: Tensor,
    backend: str = "auto",
    *,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> PackedRows:
    """The documents of int64 ``[B, T]`` ``document_ids``, as ``attend`` takes them.

    Made once for all layers of a pass. ``device`` is where attention runs, by default where the ids
    are; ids on the CPU spare a GPU a synchronisation. ``dtype`` is that of the heads and only
    guides ``auto``: ``documents`` on the CPU, and on a GPU too where every row is one document;
    else ``varlen`` if this torch and GPU have it, else ``flex``, else ``documents``. Raises
    ``UserError`` for an unknown back end or one that the device does not have.
    """
    device = device or document_ids.device
    starts = torch.ones_like(document_ids, dtype=torch.bool)
    starts[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    lengths = _lengths(starts)
    if backend == "auto":
        backend = _fastest(device, dtype, whole_rows=all(len(row) == 1 for row in lengths))
    elif backend not in BACKENDS:
        raise UserError(
            f"there is no back end of attention {backend!r}.", f"Choose one of {list(BACKENDS)}."
        )
    if backend == "documents":
        return _Documents(lengths)
    if backend == "varlen":
        return _Varlen(lengths, device)
    ids = (starts.cumsum(1) - 1).to(device)
    return _Flex(ids) if backend == "flex" else _Sdpa(ids)


def _lengths(starts: Tensor) -> list[list[int]]:
    """Token counts of each row's documents, from bool ``[B, T]`` that is true where one starts."""
    rows, seq_len = starts.shape
    places = starts.flatten().nonzero().flatten().tolist()
    lengths: list[list[int]] = [[] for _ in range(rows)]
    for start, end in pairwise([*places, rows * seq_len]):
        lengths[start // seq_len].append(end - start)
    return lengths


def _fastest(device: torch.device, dtype: torch.dtype, *, whole_rows: bool) -> str:
    if device.type != "cuda" or whole_rows:
        return "documents"
    if dtype in _VARLEN_DTYPES and not _varlen_lacks(device):
        return "varlen"
    return "flex" if importlib.util.find_spec("triton") else "documents"


class _Sdpa(PackedRows):
    def __init__(self, ids: Tensor) -> None:
        self._mask = document_mask(ids)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=self._mask, enable_gqa=query.shape[1] != key.shape[1]
        )


class _Documents(PackedRows):
    """Neighbouring rows that are cut alike share their calls, so whole rows are one call."""

    def __init__(self, lengths: Sequence[list[int]]) -> None:
        self._groups = [(len(list(rows)), cut) for cut, rows in groupby(lengths)]

    # The calls differ from batch to batch: compiling them would never end.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # Pieces of split share one backward pass, which puts them together once; those of narrow
        # would each fill and add a gradient of the whole row.
        counts = [count for count, _ in self._groups]
        rows = (torch.split(heads, counts) for heads in (query, key, value))
        cuts = (cut for _, cut in self._groups)
        return _join([_by_document(*group) for group in zip(cuts, *rows, strict=True)], 0)


def _by_document(cut: list[int], query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Rows that are all cut into documents of these lengths."""
    pieces = (torch.split(heads, cut, dim=2) for heads in (query, key, value))
    return _join([_causal(*document) for document in zip(*pieces, strict=True)], 2)


def _causal(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    narrow = query.dtype
    if query.device.type == "cpu" and query.shape[2] < _WIDE_BELOW and not _has_amx():
        query, key, value = query.float(), key.float(), value.float()
    mixed = F.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=query.shape[1] != key.shape[1]
    )
    return mixed.to(narrow)


@functools.cache
def _has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())


def _join(parts: Sequence[Tensor], dim: int) -> Tensor:
    """``[B, H, T, d]`` of its parts along rows (0) or tokens (2), with tokens outermost in memory.

    So lie the parts themselves, and so the output projection wants to read them.
    """
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.transpose(1, 2) for part in parts], dim // 2).transpose(1, 2)


class _Flex(PackedRows):
    def __init__(self, ids: Tensor) -> None:
        if ids.is_cuda and importlib.util.find_spec("triton") is None:
            raise UserError(
                "attention by flex is compiled by Triton, which is not installed.",
                "Install triton, or choose another execution.attention.",
            )
        self._blocks = document_blocks(ids)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if not query.is_cuda and torch.is_grad_enabled() and query.requires_grad:
            raise UserError(
                "attention by flex has no backward pass on the CPU.",
                "Set execution.attention to auto or documents.",
            )
        kernel: Any = _compiled_flex() if query.is_cuda else flex_attention
        mixed: Tensor = kernel(
            query,
            key,
            value,
            block_mask=self._blocks,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        return mixed


@functools.cache
def _compiled_flex() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=False)


def document_blocks(ids: Tensor) -> BlockMask:
    """FlexAttention's mask of blocks for documents numbered upwards in each row.

    From the first and last id of each block of 128 positions, so in (T / 128)^2 steps a row;
    ``create_block_mask`` would evaluate all T^2 pairs, 1 GiB at 32,768 positions.
    """
    rows, seq_len = ids.shape
    count = -(-seq_len // _FLEX_BLOCK)
    padded = F.pad(ids[:, None].float(), (0, count * _FLEX_BLOCK - seq_len), mode="replicate")
    blocks = padded.long().view(rows, count, _FLEX_BLOCK)
    first, last = blocks[..., 0], blocks[..., -1]
    earlier = torch.ones(count, count, dtype=torch.bool, device=ids.device).tril(-1)
    here = torch.eye(count, dtype=torch.bool, device=ids.device)
    # Numbers only grow: an earlier block shares a document if its last is at least our first, and
    # holds nothing but our only document if its first is our last.
    whole = earlier & (first[:, None, :] == last[:, :, None])
    part = (here | (earlier & (last[:, None, :] >= first[:, :, None]))) & ~whole

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (ids[row, query] == ids[row, key])

    return BlockMask.from_kv_blocks(
        *_ordered(part),
        *_ordered(whole),
        BLOCK_SIZE=_FLEX_BLOCK,
        mask_mod=sees,
        seq_lengths=(seq_len, seq_len),
    )


def _ordered(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """int32 counts ``[B, 1, n]`` of true blocks, and the blocks, true ones first, ``[.., n, n]``."""
    order = chosen.int().argsort(dim=-1, descending=True, stable=True)
    return chosen.sum(-1, dtype=torch.int32)[:, None], order.int()[:, None]


_VARLEN_DTYPES = (torch.bfloat16, torch.float16)


class _Varlen(PackedRows):
    def __init__(self, lengths: Sequence[list[int]], device: torch.device) -> None:
        if lack := _varlen_lacks(device):
            raise UserError(
                f"attention by varlen needs {lack}.", "Set execution.attention to auto."
            )
        counts = [count for row in lengths for count in row]
        self._longest = max(counts)
        ends = torch.tensor([0, *counts]).cumsum(0).int()
        self._ends = ends.to(device, non_blocking=True)  # int32 [N + 1]

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn

        if query.dtype not in _VARLEN_DTYPES:
            raise UserError(
                f"attention by varlen computes in 16 bits, not in {query.dtype}.",
                "Set train.precision to bf16, or execution.attention to auto.",
            )
        rows, _, seq_len, _ = query.shape
        flat = [heads.transpose(1, 2).flatten(0, 1) for heads in (query, key, value)]
        mixed: Any = varlen_attn(
            flat[0],
            flat[1],
            flat[2],
            self._ends,
            self._ends,
            self._longest,
            self._longest,
            window_size=(-1, 0),
            enable_gqa=query.shape[1] != key.shape[1],
        )
        by_row: Tensor = mixed.unflatten(0, (rows, seq_len))
        return by_row.transpose(1, 2)


def _varlen_lacks(device: torch.device) -> str:
    """What is missing for ``varlen`` on ``device``; empty if nothing is."""
    if device.type != "cuda":
        return f"a GPU, not a {device.type}"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "a GPU of compute capability 8.0 or newer"
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return "a torch that has varlen_attn"
    from torch.nn.attention.varlen import varlen_attn

    missing = {"window_size", "enable_gqa"} - set(inspect.signature(varlen_attn).parameters)
    return f"a torch whose varlen_attn has {' and '.join(sorted(missing))}" if missing else ""
