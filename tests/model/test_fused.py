"""One-pass kernels equal the formulas in float64, forwards and backwards, to bfloat16's rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from treespan.model.config import preset
from treespan.model.fused import has_kernel, rms_norm, rotate, swiglu
from treespan.model.loss import IGNORED, token_losses
from treespan.model.rope import rope_tables


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw(*shape: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape) + shape[0])
    return (torch.randn(shape, generator=generator) * scale).bfloat16()


def assert_equal_to_double(
    function: Callable[..., Tensor], reference: Callable[..., Tensor], inputs: list[Tensor]
) -> None:
    """Values and gradients of both, within a bfloat16 step of the largest values."""
    narrow = [x.detach().clone().requires_grad_() for x in inputs]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    assert has_kernel(narrow[0])
    out, wanted = function(*narrow), reference(*exact)
    upstream = draw(*wanted.shape)
    grads = torch.autograd.grad(out, narrow, upstream.to(out.dtype))
    wanted_grads = torch.autograd.grad(wanted, exact, upstream.double())
    for actual, right in zip((out, *grads), (wanted, *wanted_grads), strict=True):
        assert actual.shape == right.shape
        error = (actual.double() - right).abs()
        assert bool((error <= 2**-8 * right.abs() + 1e-5 * right.abs().max()).all())


def plain_norm(x: Tensor, gain: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * gain


@pytest.mark.parametrize("shape", [(2, 40, 257), (1, 300, 64)])
def test_rms_norm(shape: tuple[int, ...]) -> None:
    inputs = [draw(*shape, scale=30.0), draw(shape[-1])]
    assert_equal_to_double(lambda x, gain: rms_norm(x, gain, 1e-6), plain_norm, inputs)


def test_swiglu() -> None:
    inputs = [draw(3, 50, 131, scale=4.0), draw(3, 50, 131).flip(0)]
    assert_equal_to_double(swiglu, lambda gate, up: F.silu(gate) * up, inputs)


def test_swiglu_of_far_values() -> None:
    gate = torch.tensor([-1e30, -300.0, -90.0, 0.0, 90.0, 1e30]).bfloat16().repeat(4000)
    out = swiglu(gate, torch.ones_like(gate))
    torch.testing.assert_close(out, F.silu(gate), atol=1e-8, rtol=2**-7)


@pytest.mark.parametrize("rows_of_positions", [1, 2])
@pytest.mark.parametrize("lying", [True, False])
def test_rotate(rows_of_positions: int, lying: bool) -> None:
    config = preset("nano", vocab_size=64)
    positions = torch.stack([torch.arange(70), torch.arange(1000, 1070)])[:rows_of_positions]
    cos, sin = rope_tables(positions, config)
    x = draw(2, 70, 4, config.head_dim).transpose(1, 2)
    if not lying:
        x = x.contiguous()

    def plain(wide: Tensor) -> Tensor:
        first, second = wide.chunk(2, dim=-1)
        return wide * cos.double() + torch.cat((-second, first), dim=-1) * sin.double()

    assert_equal_to_double(lambda narrow: rotate(narrow, cos, sin), plain, [x])


@pytest.mark.parametrize("chunk_tokens", [16, None])
def test_token_losses(chunk_tokens: int | None) -> None:
    targets = torch.randint(0, 1031, (2, 24), generator=torch.Generator().manual_seed(0))
    targets[0, 3] = targets[1, 23] = IGNORED
    hidden, weight = draw(2, 24, 32), draw(1031, 32)
    narrow = [x.clone().requires_grad_() for x in (hidden, weight)]
    # The kernels start from logits that are rounded to bfloat16, as torch's would.
    exact = [x.double().requires_grad_() for x in (hidden, weight)]
    logits = exact[0] @ exact[1].t()
    assert has_kernel(logits.bfloat16()[0])
    rounded = logits + (logits.bfloat16().double() - logits).detach()
    wanted = F.cross_entropy(
        rounded.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(targets)
    upstream = torch.rand(2, 24, generator=torch.Generator().manual_seed(1))

    losses = token_losses(*narrow, targets, chunk_tokens=chunk_tokens)
    grads = torch.autograd.grad((losses * upstream).sum(), narrow, retain_graph=True)
    again = torch.autograd.grad((losses * upstream).sum(), narrow)

    torch.testing.assert_close(losses, wanted.float(), atol=1e-4, rtol=1e-4)
    right = torch.autograd.grad((wanted * upstream).sum(), exact)
    for actual, second, expected in zip(grads, again, right, strict=True):
        assert torch.equal(actual, second)
        error = (actual.double() - expected).abs().max()
        assert error < 0.01 * expected.abs().max()


def test_what_is_no_number_stays_none() -> None:
    x = draw(200, 128)
    x[3, 5] = float("nan")
    gain = torch.ones(128).bfloat16()
    assert bool(rms_norm(x, gain, 1e-6)[3].isnan().all())
    assert bool(swiglu(x, x)[3, 5].isnan())
    targets = torch.zeros(1, 200, dtype=torch.int64)
    losses = token_losses(x[None], draw(300, 128), targets)
    assert losses[0].isnan().nonzero().flatten().tolist() == [3]
