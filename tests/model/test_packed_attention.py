"""Back ends of packed attention against the naive formula, and against each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from treespan.model.attention import attend, document_ids, document_mask
from treespan.model.packed_attention import document_blocks, packed_rows
from treespan.platform.errors import UserError

ROWS = [[40, 1, 23], [64], [7, 50]]
"""Documents of three rows of 64 tokens: mixed, one alone, and with padding."""
LONG_ROWS = [[600, 100], [650, 50]]
"""Documents for which a CPU without AMX computes in bfloat16 as such."""


def naive(query: Tensor, key: Tensor, value: Tensor, ids: Tensor) -> Tensor:
    """The formula, query by query over the keys of its document, in float64."""
    query, key, value = query.double(), key.double(), value.double()
    groups = query.shape[1] // key.shape[1]
    rows = []
    for row in range(query.shape[0]):
        heads = []
        for head in range(query.shape[1]):
            mixed = []
            for place in range(query.shape[2]):
                seen = ids[row, : place + 1] == ids[row, place]
                keys = key[row, head // groups, : place + 1][seen]
                values = value[row, head // groups, : place + 1][seen]
                scores = keys @ query[row, head, place] / query.shape[-1] ** 0.5
                mixed.append(scores.softmax(0) @ values)
            heads.append(torch.stack(mixed))
        rows.append(torch.stack(heads))
    return torch.stack(rows)


Heads = tuple[Tensor, Tensor, Tensor]
"""Query, key and value."""


def random_heads(
    rows: int, seq_len: int, kv_heads: int, dtype: torch.dtype
) -> tuple[Heads, Tensor]:
    """Query, key and value of four heads of 16, laid out as projections give them; a gradient."""
    generator = torch.Generator().manual_seed(kv_heads)
    query, key, value, upstream = (
        torch.randn(rows, seq_len, heads, 16, generator=generator).to(dtype).transpose(1, 2)
        for heads in (4, kv_heads, kv_heads, 4)
    )
    return (query, key, value), upstream


def moved(heads: Heads, to: torch.dtype | str) -> Heads:
    query, key, value = heads
    return query.to(to), key.to(to), value.to(to)


def with_gradients(heads: Heads, upstream: Tensor, ids: Tensor, backend: str) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in heads]
    mixed = attend(leaves[0], leaves[1], leaves[2], packed_rows(ids, backend))
    return [mixed.detach(), *torch.autograd.grad(mixed, leaves, upstream)]


@pytest.mark.parametrize("backend", ["auto", "sdpa", "documents"])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 4e-2)])
def test_outputs_and_gradients_are_those_of_the_formula(
    backend: str, kv_heads: int, dtype: torch.dtype, tolerance: float
) -> None:
    ids = document_ids(ROWS, 64)
    heads, upstream = random_heads(3, 64, kv_heads, dtype)
    leaves = [tensor.double().requires_grad_() for tensor in heads]
    mixed = naive(leaves[0], leaves[1], leaves[2], ids)
    expected = [mixed, *torch.autograd.grad(mixed, leaves, upstream.double())]
    for actual, wanted in zip(with_gradients(heads, upstream, ids, backend), expected, strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.double(), wanted, atol=tolerance, rtol=tolerance)


def test_long_documents_in_bfloat16_agree_with_the_reference() -> None:
    ids = document_ids(LONG_ROWS, 700)
    heads, upstream = random_heads(2, 700, 2, torch.bfloat16)
    expected = with_gradients(moved(heads, torch.float32), upstream.float(), ids, "sdpa")
    for actual, wanted in zip(
        with_gradients(heads, upstream, ids, "documents"), expected, strict=True
    ):
        torch.testing.assert_close(actual.float(), wanted, atol=4e-2, rtol=4e-2)


@pytest.mark.parametrize("kv_heads", [4, 1])
@pytest.mark.parametrize("rows", [ROWS, [[200, 80], [3, 277], [130, 1, 1, 148]]])
def test_flex_agrees_forward(rows: list[list[int]], kv_heads: int) -> None:
    seq_len = max(map(sum, rows))
    ids = document_ids(rows, seq_len)
    heads, _ = random_heads(len(rows), seq_len, kv_heads, torch.float32)
    torch.testing.assert_close(
        attend(*heads, packed_rows(ids, "flex")), attend(*heads, packed_rows(ids, "sdpa"))
    )


@settings(max_examples=20)
@given(
    st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=5), min_size=1, max_size=3),
    st.integers(0, 140),
)
def test_blocks_are_those_that_torch_finds_pair_by_pair(rows: list[list[int]], rest: int) -> None:
    seq_len = max(map(sum, rows)) + rest
    ids = document_ids(rows, seq_len)
    found = document_blocks(ids)

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (ids[row, query] == ids[row, key])

    wanted = create_block_mask(sees, len(rows), None, seq_len, seq_len, device="cpu")
    assert torch.equal(found.to_dense(), wanted.to_dense())
    # What we call whole must be so; torch calls no block whole that reaches beyond the row's end.
    mask = document_mask(ids)
    counts, blocks = found.full_kv_num_blocks, found.full_kv_indices
    assert counts is not None
    assert blocks is not None
    for row in range(len(rows)):
        for block, count in enumerate(counts[row, 0].tolist()):
            for other in blocks[row, 0, block, :count].tolist():
                here = slice(block * 128, (block + 1) * 128)
                assert mask[row, 0, here, other * 128 : (other + 1) * 128].all()


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=4))
def test_documents_never_see_each_other(rows: list[list[int]]) -> None:
    """Whatever the cut: a document alone gives what it gives in its row, gradients too."""
    seq_len = max(map(sum, rows))
    ids = document_ids(rows, seq_len)
    heads, upstream = random_heads(len(rows), seq_len, 2, torch.float32)
    together = with_gradients(heads, upstream, ids, "documents")
    for row, lengths in enumerate(rows):
        start = 0
        for length in lengths:
            part = (slice(row, row + 1), slice(None), slice(start, start + length))
            query, key, value = (tensor[part] for tensor in heads)
            alone = with_gradients(
                (query, key, value), upstream[part], torch.zeros(1, length), "sdpa"
            )
            for actual, wanted in zip(together, alone, strict=True):
                torch.testing.assert_close(actual[part], wanted, atol=1e-5, rtol=1e-5)
            start += length


@pytest.mark.parametrize("backend", ["sdpa", "documents", "flex"])
def test_a_document_is_a_run_of_equal_ids(backend: str) -> None:
    """Batches number documents as they like; an id that comes again is another document."""
    heads, _ = random_heads(1, 6, 2, torch.float32)
    again = packed_rows(torch.tensor([[3, 3, 0, 0, 3, 3]]), backend)
    apart = packed_rows(torch.tensor([[0, 0, 1, 1, 2, 2]]), backend)
    assert torch.equal(attend(*heads, again), attend(*heads, apart))


def test_whole_rows_are_one_call_without_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    plain = torch.nn.functional.scaled_dot_product_attention

    def counted(*args: Tensor, **settings: object) -> Tensor:
        calls.append((args[0].shape, settings.get("attn_mask"), settings["is_causal"]))
        return plain(*args, **settings)  # type: ignore[arg-type]

    heads, _ = random_heads(3, 8, 2, torch.float32)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", counted)
    attend(*heads, packed_rows(torch.zeros(3, 8, dtype=torch.int64)))
    assert calls == [((3, 4, 8, 16), None, True)]


def test_back_ends_that_cannot_run_say_so() -> None:
    ids = torch.zeros(1, 8, dtype=torch.int64)
    heads, upstream = random_heads(1, 8, 2, torch.float32)
    with pytest.raises(UserError, match=r"no backward pass on the CPU.*auto or documents"):
        with_gradients(heads, upstream, ids, "flex")
    with pytest.raises(UserError, match=r"varlen needs a GPU, not a cpu.*auto"):
        packed_rows(ids, "varlen")
    with pytest.raises(UserError, match=r"no back end of attention 'flash'.*'documents'"):
        packed_rows(ids, "flash")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("backend", ["sdpa", "documents", "flex", "varlen"])
@pytest.mark.parametrize("kv_heads", [4, 1])
def test_back_ends_agree_on_a_gpu(backend: str, kv_heads: int) -> None:
    rows = [[200, 80], [3, 277], [130, 1, 1, 148]]
    ids = document_ids(rows, 280)
    heads, upstream = random_heads(3, 280, kv_heads, torch.bfloat16)
    expected = with_gradients(moved(heads, torch.float32), upstream.float(), ids, "sdpa")
    found = with_gradients(moved(heads, "cuda"), upstream.cuda(), ids.cuda(), backend)
    for actual, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(actual.float().cpu(), wanted, atol=4e-2, rtol=4e-2)
