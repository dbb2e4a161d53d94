"""What a pass through the model computes: products of matrices, attention, and what only moves
memory. Counted from ``model.transformer``; nothing here knows a device.

Legend: t tokens of a pass on one worker, D hidden size, Q width of all query heads, K of all key
heads, F of the feed-forward, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from treespan.jobs.train.plan.setting import Job, Setting


@dataclass(frozen=True)
class Product:
    """``times`` products of ``[rows, inner]`` with ``[inner, columns]``."""

    rows: int
    inner: int
    columns: int
    times: int = 1

    @property
    def operations(self) -> float:
        """Multiplications and additions."""
        return 2.0 * self.rows * self.inner * self.columns * self.times


@dataclass(frozen=True)
class Stream:
    """Kernels that do little but read and write."""

    bytes: float
    kernels: int


def block_products(job: Job, tokens: int) -> tuple[Product, ...]:
    """Those of one block, forward."""
    model = job.model
    hidden, inner = model.hidden_size, model.intermediate_size
    queries, keys = model.num_heads * model.head_dim, model.num_kv_heads * model.head_dim
    return (
        Product(tokens, hidden, queries),
        Product(tokens, hidden, keys, 2),
        Product(tokens, queries, hidden),
        Product(tokens, hidden, inner, 2),
        Product(tokens, inner, hidden),
    )


def backward_products(forward: tuple[Product, ...]) -> tuple[Product, ...]:
    """Gradients of inputs, then of weights: as many operations each as forward."""
    of_inputs = (Product(p.rows, p.columns, p.inner, p.times) for p in forward)
    of_weights = (Product(p.columns, p.rows, p.inner, p.times) for p in forward)
    return (*of_inputs, *of_weights)


def block_stream(job: Job, setting: Setting) -> Stream:
    """Of one block, forward, one kernel after the other; or fused, as a compiler does it.

    Bytes for each token: norms, rotary positions (in float32), the feed-forward's gate, residuals.
    """
    model, tokens = job.model, setting.tokens(job.seq_len)
    value, wide = job.value_bytes, 4
    turned = model.num_heads * model.head_dim + model.num_kv_heads * model.head_dim
    hidden, inner = model.hidden_size, model.intermediate_size
    if setting.compiled:
        # A norm with the residual before it: reads two, writes two. Rotation in place of eight
        # kernels is one. The gate reads two and writes one.
        width = 8 * hidden + 2 * turned + 3 * inner
        return Stream(float(tokens * value * width), 6)
    norm = 2 * hidden * 2 * value
    # To float32, negate a half and join it, two products, their sum, and back.
    rotation = turned * (2 * value + 9 * wide + 2 * wide)
    gate = 5 * inner * value
    residuals = 2 * 3 * hidden * value
    return Stream(float(tokens * (norm + rotation + gate + residuals)), 23)


BACKWARD_STREAM = 2.0
"""Backward moves twice what forward does: each kernel reads its inputs again beside the gradient
(the same ratio as in Calculon, which counts both kernel by kernel)."""


def loss_products(job: Job, setting: Setting) -> tuple[tuple[Product, ...], tuple[Product, ...]]:
    """The output projection forward and backward; in chunks it is computed again backward."""
    tokens, vocabulary = setting.tokens(job.seq_len), job.model.vocab_size
    forward = (Product(tokens, job.model.hidden_size, vocabulary),)
    again = forward if tokens * vocabulary > 2**26 else ()
    return forward, (*again, *backward_products(forward))


def loss_stream(job: Job, setting: Setting) -> Stream:
    """Logits to float32, their maximum, sum of powers, the gradient and its rounding."""
    tokens, vocabulary = setting.tokens(job.seq_len), job.model.vocab_size
    return Stream(float(tokens * vocabulary * (2 * job.value_bytes + 7 * 4)), 12)


def attention_operations(job: Job, setting: Setting) -> float:
    """Of one block forward, in all rows of a pass: two products over the causal half.

    Rows are taken as one document each. Shorter documents need less, by their share of the row.
    """
    model = job.model
    pairs = job.seq_len * job.seq_len / 2
    heads = model.num_heads / setting.sequence_parallel
    return 4.0 * setting.micro_batch * heads * model.head_dim * pairs


ATTENTION_BACKWARD = 2.5
"""Five products backward for two forward (FlashAttention-2, arXiv 2307.08691, section 4.1)."""


def update_bytes(job: Job) -> float:
    """Read and written for each parameter of a worker's part in one optimizer step.

    Norm and scale of the gradient (4 + 8), AdamW in one kernel (reads 16, writes 12), the weight
    rounded for the products (2 under bf16).
    """
    return 4.0 + 8.0 + 16.0 + 12.0 + (job.value_bytes if job.bf16 else 0)


def accumulation_bytes(job: Job) -> float:
    """Read and written for each parameter in every pass: the gradient written, read into the
    bucket, and added to the float32 sum."""
    return 4.0 * job.value_bytes + 4.0 + 4.0
