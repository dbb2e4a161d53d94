"""What a plan asks of a device, and the devices of the table: a roofline with assumed shares.

A product takes as long as its operations at the sustained rate, or its operands at the memory's
bandwidth, whichever is longer (Williams, Waterman and Patterson, Commun. ACM 52, 2009).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from treespan.jobs.train.hardware import Accelerator
from treespan.jobs.train.plan.communication import Links
from treespan.jobs.train.plan.operations import (
    ATTENTION_BACKWARD,
    BACKWARD_STREAM,
    Product,
    Stream,
    accumulation_bytes,
    attention_operations,
    block_stream,
    loss_products,
    loss_stream,
    update_bytes,
)
from treespan.jobs.train.plan.setting import Job, Setting

_TILE_ROWS, _TILE_COLUMNS = 128, 128
"""Of the output that one multiprocessor computes: a shape that is no multiple wastes the rest."""
_STREAM_SHARE = 0.8
"""Of the memory's bandwidth that a kernel reaches (STREAM on HBM; ours)."""
_LAUNCH_S = 4e-6
"""The least that a kernel takes (ours)."""
_LATENCY_S = 5e-6
"""Of a message between devices (ours)."""


class Device(Protocol):
    """A device, and the links from it. Times are seconds, rates bytes per second."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def is_gpu(self) -> bool:
        """Whether its memory is its own."""

    @property
    def peak_flops(self) -> float:
        """Against which utilisation is stated."""

    @property
    def memory_bytes(self) -> float:
        """What a worker may use."""

    @property
    def links(self) -> Links:
        """To other workers."""

    @property
    def host_rate(self) -> float:
        """Between the device and its host's memory."""

    @property
    def base_bytes(self) -> float:
        """Of a worker before it has a model, where that counts towards its memory."""

    def product_s(self, product: Product, job: Job) -> float:
        """Of products of matrices."""

    def attention_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """Of one block in one pass: forward, backward."""

    def elementwise_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """Of what only moves memory in one block in one pass: forward, backward."""

    def loss_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """Of the output projection and the cross-entropy in one pass: forward, backward."""

    def accumulation_s(self, job: Job, setting: Setting) -> float:
        """Of summing the gradient in one pass."""

    def update_s(self, job: Job, parameters: float) -> float:
        """Of one optimizer step on so many parameters."""


@dataclass(frozen=True)
class TableDevice:
    """A device of the hardware table."""

    key: str
    row: Accelerator

    @property
    def name(self) -> str:
        """As in the table."""
        return self.key

    @property
    def is_gpu(self) -> bool:
        """All of the table are."""
        return True

    @property
    def peak_flops(self) -> float:
        """Dense bf16."""
        return self.row.peak_flops

    @property
    def memory_bytes(self) -> float:
        """Of one device."""
        return self.row.memory_bytes

    @property
    def base_bytes(self) -> float:
        """None: the margin has the context's share."""
        return 0.0

    @property
    def links(self) -> Links:
        """As the table has them; exchange goes on beside computing."""
        return Links(
            workers_per_node=self.row.devices_per_node,
            intra_node=self.row.intra_node_gb_s * 1e9 * _STREAM_SHARE,
            inter_node=self.row.inter_node_gb_s * 1e9 * _STREAM_SHARE,
            latency_s=_LATENCY_S,
            overlaps=True,
        )

    @property
    def host_rate(self) -> float:
        """Over PCIe."""
        return self.row.host_gb_s * 1e9 * _STREAM_SHARE

    @property
    def _memory_rate(self) -> float:
        return self.row.memory_gb_s * 1e9 * _STREAM_SHARE

    def product_s(self, product: Product, job: Job) -> float:
        """Whole tiles at the sustained rate, or the operands at the memory's. Float32 products run
        as TF32, at half the rate of bf16."""
        rows = -(-product.rows // _TILE_ROWS) * _TILE_ROWS
        columns = -(-product.columns // _TILE_COLUMNS) * _TILE_COLUMNS
        rate = self.row.peak_flops * self.row.sustained_share * (1.0 if job.bf16 else 0.5)
        busy = 2.0 * rows * columns * product.inner / rate
        operands = product.rows * product.inner + product.inner * product.columns
        moved = job.value_bytes * (operands + product.rows * product.columns) / self._memory_rate
        return product.times * max(busy, moved, _LAUNCH_S)

    def attention_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """A fused kernel over the causal half."""
        rate = self.row.peak_flops * self.row.attention_share * (1.0 if job.bf16 else 0.5)
        forward = max(attention_operations(job, setting) / rate, _LAUNCH_S)
        return forward, ATTENTION_BACKWARD * forward

    def elementwise_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """As counted."""
        forward = self._stream_s(block_stream(job, setting))
        return forward, BACKWARD_STREAM * forward

    def _stream_s(self, stream: Stream) -> float:
        """At the memory's rate, or the launches."""
        return max(stream.bytes / self._memory_rate, stream.kernels * _LAUNCH_S)

    def loss_s(self, job: Job, setting: Setting) -> tuple[float, float]:
        """Products, and a third of the stream forward."""
        forward, backward = loss_products(job, setting)
        stream = self._stream_s(loss_stream(job, setting))
        ahead = sum(self.product_s(product, job) for product in forward)
        back = sum(self.product_s(product, job) for product in backward)
        return ahead + stream / 3, back + stream * 2 / 3

    def accumulation_s(self, job: Job, setting: Setting) -> float:
        """All gradients, whatever part of their sum a worker keeps."""
        return accumulation_bytes(job) * job.model.num_parameters / self._memory_rate

    def update_s(self, job: Job, parameters: float) -> float:
        """At the memory's rate."""
        return update_bytes(job) * parameters / self._memory_rate
