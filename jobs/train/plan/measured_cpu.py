"""This machine's processor as a device: a roofline whose constants are measured when it is asked.

Measured are kernels, never the model or a step of training: products of matrices at the shapes of the
job, attention over one row, the output projection with its loss, norms, rotations, gates and residuals
at the size of an activation, the bandwidth of a large array, AdamW by parameter, and gloo's all-reduce
between two processes. Larger sizes are scaled up from the largest that is measured. No constant is
fitted to the time of a step.

Other programs on the machine slow training more than these short kernels, of which the fastest call
counts: the plan is for a quiet machine. That workers share caches and memory is not seen either.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from treespan.jobs.train.hardware import peak_flops
from treespan.jobs.train.plan.communication import Links
from treespan.jobs.train.plan.gloo_rate import measure_gloo
from treespan.jobs.train.plan.operations import Product
from treespan.jobs.train.plan.setting import Job, Setting
from treespan.model.attention import attend, document_ids
from treespan.model.fused import rotate, swiglu
from treespan.model.loss import token_losses
from treespan.model.packed_attention import packed_rows
from treespan.model.rope import rope_tables
from treespan.model.transformer import RmsNorm

_ROWS = 2048
"""The most rows of a product, tokens of a row, or tokens of the loss, that are measured."""
_SECONDS = 0.05
"""Spent on a kernel, or three calls of it."""
_LARGE = 2**24
"""Elements of an array that no cache holds and the allocator does not keep."""
_BASE_BYTES = 0.55e9
"""Of a process that has imported torch and DeepSpeed and run a step, beyond what the step needs
(ours: measured with torch 2.13 and DeepSpeed 0.19.8)."""
_ENGINE_BYTES = 34.0
"""Read and written for a parameter around AdamW: gradients flattened (8), their norm (4), clipped (8),
weights rounded (6), gradients zeroed and searched for what is not finite (8)."""
_ACCUMULATION_BYTES = 20.0
"""The same in every pass: bf16 gradients made (2), added to those before (4), copied to the bucket (4),
reduced (4), and summed in float32 (6)."""


@dataclass
class MeasuredCpu:
    """The processor with ``threads`` threads for each of ``workers`` processes."""

    threads: int
    workers: int
    _found: dict[object, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people."""
        return f"this CPU, {self.threads} thread{'s' if self.threads > 1 else ''} a worker"

    @property
    def is_gpu(self) -> bool:
        """It shares its memory with all else."""
        return False

    @property
    def peak_flops(self) -> float:
        """Of the threads of one worker."""
        found = self._once("peak", lambda: peak_flops(torch.device("cpu")) or 0.0)
        assert found
        return found

    @property
    def memory_bytes(self) -> float:
        """A worker's share of the machine's."""
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / self.workers

    @property
    def base_bytes(self) -> float:
        """What a worker has before it has a model."""
        return _BASE_BYTES

    @property
    def host_rate(self) -> float:
        """Of copying a large array."""
        return self._large_rate

    @property
    def links(self) -> Links:
        """gloo between processes of this machine."""
        rate, latency = 0.0, 0.0
        if self.workers > 1:
            rate = self._once("gloo", lambda: measure_gloo(_LARGE // 4))
            # An all-reduce of one element (4 bytes) is two messages and nothing else.
            latency = 2 / self._once("gloo message", lambda: measure_gloo(1))
        return Links(
            workers_per_node=max(1, self.workers),
            intra_node=rate,
            inter_node=rate,
            latency_s=latency,
            overlaps=False,
        )

    def product_s(self, product: Product, job: Job) -> float:
        """At the shape, the larger side up to ``_ROWS``."""
        rows, inner = product.rows, product.inner
        # Tokens are the rows forward and for gradients of inputs, the inner side for weights'.
        if rows >= inner:
            rows = min(rows, _ROWS)
            scale = product.rows / rows
        else:
            inner = min(inner, _ROWS)
            scale = product.inner / inner
        dtype = torch.bfloat16 if job.bf16 else torch.float32
        key = ("product", rows, inner, product.columns, dtype)

        def measure() -> float:
            left = torch.randn(rows, inner).to(dtype)
            right = torch.randn(product.columns, inner).to(dtype)
            return _best(lambda: torch.nn.functional.linear(left, right))

        return product.times * scale * self._once(key, measure)

    def attention_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """Of one row, times the rows; beyond ``_ROWS`` tokens with their square."""
        tokens = min(job.seq_len, _ROWS)
        scale = setting.micro_batch * (job.seq_len / tokens) ** 2 / setting.sequence_parallel
        model = job.model
        dtype = torch.bfloat16 if job.bf16 else torch.float32
        key = ("attention", tokens, model.num_heads, model.num_kv_heads, model.head_dim, dtype)

        def measure(*, backward: bool) -> float:
            counts = (model.num_heads, model.num_kv_heads, model.num_kv_heads)
            heads = [_draw((1, tokens, count, model.head_dim), dtype) for count in counts]
            rows = packed_rows(document_ids([[tokens]], tokens), dtype=dtype)

            def call() -> Tensor:
                query, keys, values = (each.transpose(1, 2) for each in heads)
                return attend(query, keys, values, rows)

            return _best_both(call, heads) if backward else _best(call)

        ahead = self._once((*key, "forward"), partial(measure, backward=False))
        both = self._once((*key, "both"), partial(measure, backward=True))
        return scale * ahead, scale * max(0.0, both - ahead)

    def loss_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """Of the projection and the cross-entropy, chunked where the job's is."""
        model, all_tokens = job.model, setting.tokens(job.seq_len)
        tokens = min(all_tokens, _ROWS // 2)
        default = 2**26 // model.vocab_size
        chunk = tokens if all_tokens <= default else min(default, tokens // 2)
        dtype = torch.bfloat16 if job.bf16 else torch.float32
        key = ("loss", tokens, chunk, model.hidden_size, model.vocab_size, dtype)

        def measure() -> float:
            hidden = _draw((1, tokens, model.hidden_size), dtype)
            weight = _draw((model.vocab_size, model.hidden_size), dtype)
            targets = torch.randint(model.vocab_size, (1, tokens))
            return _best_both(
                lambda: token_losses(hidden, weight, targets, chunk_tokens=chunk), [hidden, weight]
            )

        whole = self._once(key, measure) * all_tokens / tokens
        return whole / 3, whole * 2 / 3

    def elementwise_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """Norms, rotary positions, the gate and the residuals of one block, each by itself."""
        model, all_tokens = job.model, setting.tokens(job.seq_len)
        tokens = min(all_tokens, _ROWS)
        scale = all_tokens / tokens
        dtype = torch.bfloat16 if job.bf16 else torch.float32
        widths = (model.hidden_size, model.num_heads, model.num_kv_heads, model.head_dim)
        key = ("elementwise", tokens, *widths, model.intermediate_size, dtype)

        def kernels() -> Iterator[tuple[int, Callable[[], Tensor], list[Tensor]]]:
            stream = [_draw((1, tokens, model.hidden_size), dtype) for _ in range(2)]
            norm = RmsNorm(model.hidden_size, model.norm_eps).to(dtype)
            yield 2, lambda: norm(stream[0]), [stream[0], norm.weight]
            yield 2, lambda: stream[0] + stream[1], stream
            rope = rope_tables(torch.arange(tokens)[None], model)
            for count in (model.num_heads, model.num_kv_heads):
                heads = _draw((1, tokens, count, model.head_dim), dtype).transpose(1, 2)
                heads = heads.detach().requires_grad_()
                yield 1, partial(rotate, heads, *rope), [heads]
            inner = [_draw((1, tokens, model.intermediate_size), dtype) for _ in range(2)]
            yield 1, lambda: swiglu(*inner), inner

        def measure(*, backward: bool) -> float:
            seconds = 0.0
            for times, forward, inputs in kernels():
                seconds += times * (_best_both(forward, inputs) if backward else _best(forward))
            return seconds

        ahead = self._once((*key, "forward"), partial(measure, backward=False))
        both = self._once((*key, "both"), partial(measure, backward=True))
        return scale * ahead, scale * max(0.0, both - ahead)

    def accumulation_s(self, job: Job, setting: Setting) -> float:
        """Bucket, and sum: passes over gradients in memory that is new each time."""
        return _ACCUMULATION_BYTES * job.model.num_parameters / self._large_rate

    def update_s(self, job: Job, parameters: float) -> float:
        """AdamW as measured; and the engine's flattening, norm, clipping and rounding."""
        size = int(min(parameters, _LARGE))

        def measure() -> float:
            weights = torch.nn.Parameter(torch.zeros(size))
            weights.grad = torch.full((size,), 1e-3)
            optimizer = torch.optim.AdamW([weights], fused=True)
            return _best(optimizer.step) / size

        engine = _ENGINE_BYTES / self._large_rate
        return parameters * (self._once(("adamw", size), measure) + engine)

    @property
    def _large_rate(self) -> float:
        """Bytes per second of a kernel that reads one large array and writes a new one."""

        def measure() -> float:
            array = torch.rand(_LARGE)
            return 8 * _LARGE / _best(lambda: array * 0.5)

        return self._once("large", measure)

    def _once(self, key: object, measure: Callable[[], float]) -> float:
        """``measure()`` with the worker's threads, the first time that it is asked."""
        if key not in self._found:
            before = torch.get_num_threads()
            torch.set_num_threads(self.threads)
            try:
                self._found[key] = measure()
            finally:
                torch.set_num_threads(before)
        return self._found[key]


def _draw(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randn(shape).to(dtype).requires_grad_()


def _best_both(forward: Callable[[], Tensor], inputs: list[Tensor]) -> float:
    """Seconds of ``forward`` and its way back."""
    gradient = torch.ones_like(forward())

    def call() -> None:
        torch.autograd.grad(forward(), inputs, gradient)

    return _best(call)


def _best(call: Callable[[], object]) -> float:
    """Seconds of the fastest of at least three calls, after one that is not counted.

    Of the processor where one thread computes, which leaves out what other programs take.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    call()
    times: list[float] = []
    until = time.perf_counter() + _SECONDS
    while len(times) < 3 or time.perf_counter() < until:
        started = clock()
        call()
        times.append(clock() - started)
    return min(times)
