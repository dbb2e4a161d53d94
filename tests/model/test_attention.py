"""Attention and document masks against the naive formula."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from treespan.model.attention import (
    KvCache,
    attend,
    document_ids,
    document_mask,
    document_positions,
)
from treespan.model.config import preset
from treespan.model.fused import rotate
from treespan.model.rope import rope_tables


def naive(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ value


def random_heads(queries: int, keys: int, heads: int, kv_heads: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(queries * 1000 + keys)
    return (
        torch.randn(2, heads, queries, 16, generator=generator),
        torch.randn(2, kv_heads, keys, 16, generator=generator),
        torch.randn(2, kv_heads, keys, 16, generator=generator),
    )


@pytest.mark.parametrize(("queries", "keys"), [(9, 9), (1, 1), (1, 9), (4, 9)])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_unmasked_queries_are_the_last_positions(queries: int, keys: int, kv_heads: int) -> None:
    query, key, value = random_heads(queries, keys, 4, kv_heads)
    mask = torch.ones(keys, keys, dtype=torch.bool).tril()[keys - queries :]
    torch.testing.assert_close(attend(query, key, value, None), naive(query, key, value, mask))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 5))
def test_documents_see_only_themselves(lengths: list[int], rest: int) -> None:
    seq_len = sum(lengths) + rest
    ids = document_ids([lengths], seq_len)
    positions, mask = document_positions(ids), document_mask(ids)

    expected = torch.zeros(seq_len, seq_len, dtype=torch.bool)
    start = 0
    for length in [*lengths, rest]:
        for query in range(start, start + length):
            assert positions[0, query] == query - start
            expected[query, start : query + 1] = True
        start += length
    assert torch.equal(mask, expected[None, None])
    query, key, value = random_heads(seq_len, seq_len, 4, 2)
    torch.testing.assert_close(
        attend(query, key, value, mask), naive(query, key, value, expected), atol=1e-5, rtol=1e-5
    )


def test_too_long_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="12 tokens in a row of 10"):
        document_ids([[5, 7]], 10)


def test_rotation_is_the_complex_product() -> None:
    x = torch.randn(1, 2, 5, 8)
    positions = torch.tensor([[0, 1, 7, 300, 2]])
    frequencies = 100.0 ** (-torch.arange(0, 8, 2, dtype=torch.float64) / 8)
    angles = positions[0].double()[:, None] * frequencies
    turned = torch.complex(x[..., :4].double(), x[..., 4:].double()) * torch.polar(
        torch.ones_like(angles), angles
    )
    expected = torch.cat((turned.real, turned.imag), -1)
    config = preset("nano", vocab_size=300, head_width=8, rope_theta=100.0)
    actual = rotate(x, *rope_tables(positions, config))
    torch.testing.assert_close(actual.double(), expected, atol=1e-4, rtol=1e-4)


def test_a_full_cache_says_so() -> None:
    config = preset("nano", vocab_size=300)
    cache = KvCache(config, 4)
    new = torch.zeros(1, config.num_kv_heads, 5, config.head_dim)
    with pytest.raises(ValueError, match="5 tokens in a cache of 4"):
        cache.extend(0, new, new)
