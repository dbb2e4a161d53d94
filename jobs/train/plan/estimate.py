"""How long a step takes under one setting, where the time goes, and what the whole run costs.

Assumed of overlap: on devices of the table, exchange forward and backward hides behind the computing
of the same pass, except for what a tenth of it keeps from computing (kernels of exchange occupy
multiprocessors), and what is longer than the pass. The gather of new weights, Ulysses, and transfers
for offloading are not hidden. On a CPU nothing is: workers share its cores.
"""

from __future__ import annotations

from dataclasses import dataclass

from treespan.jobs.train.plan.communication import exchange_of
from treespan.jobs.train.plan.device import Device
from treespan.jobs.train.plan.memory import Memory, memory_of
from treespan.jobs.train.plan.operations import backward_products, block_products
from treespan.jobs.train.plan.setting import Job, Setting

_CONTENTION = 0.1
"""Of hidden exchange, what computing loses to it (Calculon's systems have 0.02 to 0.15)."""
_HOST_MEMORY_RATE = 25e9
"""Of a device's share of its host's memory bandwidth (assumed: 200 GB/s a node of eight)."""
_NVME_RATE = 1.5e9
"""Of a device's share of its node's disks (assumed: 12 GB/s a node of eight)."""
_ADAM_HOST_BYTES = 32.0
"""For each parameter: what the host's Adam reads and writes."""


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step on one worker."""

    products: float
    attention: float
    elementwise: float
    loss: float
    update: float  # optimizer, and summing gradients
    exchange: float  # not hidden behind the others
    offload: float
    checkpoint: float  # a step's share of standing still for training states
    hidden_exchange: float  # beside the others, not part of the sum

    @property
    def parts(self) -> dict[str, float]:
        """What ``total`` is the sum of, by name."""
        return {
            "matrix products": self.products,
            "attention": self.attention,
            "element-wise": self.elementwise,
            "output and loss": self.loss,
            "optimizer": self.update,
            "exchange": self.exchange,
            "offload": self.offload,
            "checkpoints": self.checkpoint,
        }

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Estimate:
    """What a job needs and takes under one setting on one kind of device."""

    job: Job
    setting: Setting
    memory: Memory
    time: StepTime
    room_bytes: float  # of a device
    memory_bytes: float  # that a worker needs of it
    peak_flops: float  # of a device

    @property
    def fits(self) -> bool:
        """Whether a worker has the memory."""
        return self.memory_bytes <= self.room_bytes

    @property
    def tokens_per_s(self) -> float:
        """Of all workers, padding included."""
        return self.job.tokens_per_step / self.time.total

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation (PaLM, arXiv 2204.02311, appendix B): attention counts whole, and
        nothing that is computed twice counts twice."""
        done = self.job.model.flops_per_token(self.job.seq_len) * self.tokens_per_s
        return done / (self.peak_flops * self.setting.workers)

    @property
    def days(self) -> float:
        """Of all steps."""
        return self.job.steps * self.time.total / 86_400

    @property
    def device_hours(self) -> float:
        """Of all workers."""
        return self.days * 24 * self.setting.workers


def estimate(job: Job, setting: Setting, device: Device) -> Estimate:
    """The estimate for one setting; whether it fits is for the caller to ask."""
    memory = memory_of(job, setting, on_gpu=device.is_gpu)
    return Estimate(
        job=job,
        setting=setting,
        memory=memory,
        time=step_time(job, setting, device),
        room_bytes=device.memory_bytes,
        memory_bytes=memory.device + device.base_bytes,
        peak_flops=device.peak_flops,
    )


def step_time(job: Job, setting: Setting, device: Device) -> StepTime:
    """Where the time of a step goes."""
    passes, layers = setting.passes(job.global_batch), job.model.num_layers
    again = 1 if setting.checkpoint_activations else 0
    products = block_products(job, setting.tokens(job.seq_len))
    ahead = layers * sum(device.product_s(product, job) for product in products)
    back = layers * sum(device.product_s(p, job) for p in backward_products(products))
    attention_ahead, attention_back = (layers * s for s in device.attention_s(job, setting))
    moved_ahead, moved_back = (layers * s for s in device.elementwise_s(job, setting))
    loss_ahead, loss_back = device.loss_s(job, setting)
    forward = passes * (ahead + attention_ahead + moved_ahead + loss_ahead)
    backward = passes * (back + attention_back + moved_back + loss_back)
    backward += again * passes * (ahead + attention_ahead + moved_ahead)
    exchange = exchange_of(job, setting, device.links)
    hidden = (0.0, 0.0)
    if device.links.overlaps:
        hidden = min(exchange.in_forward, forward), min(exchange.in_backward, backward)
    part = job.model.num_parameters / (setting.workers if setting.zero_stage >= 1 else 1)
    update = 0.0 if setting.offload != "none" else device.update_s(job, part)
    return StepTime(
        products=passes * ((1 + again) * ahead + back),
        attention=passes * ((1 + again) * attention_ahead + attention_back),
        elementwise=passes * ((1 + again) * moved_ahead + moved_back),
        loss=passes * (loss_ahead + loss_back),
        update=update + passes * device.accumulation_s(job, setting),
        exchange=exchange.total - sum(hidden) * (1 - _CONTENTION),
        offload=_offload_s(job, setting, device, part),
        checkpoint=_checkpoint_s(job, setting, device),
        hidden_exchange=sum(hidden),
    )


def _offload_s(job: Job, setting: Setting, device: Device, part: float) -> float:
    """Gradients out and new weights in over the host's link, the host's Adam, and the disk."""
    if setting.offload == "none":
        return 0.0
    passes = setting.passes(job.global_batch)
    moved = job.value_bytes * part * (passes + 1)
    if setting.zero_stage == 3:
        moved += 2 * passes * job.value_bytes * part  # weights, forward and again backward
    seconds = moved / device.host_rate + _ADAM_HOST_BYTES * part / _HOST_MEMORY_RATE
    if setting.offload == "nvme":
        seconds += (12 + 12 + 2 * passes * job.value_bytes) * part / _NVME_RATE
    return seconds


def _checkpoint_s(job: Job, setting: Setting, device: Device) -> float:
    """Copying float32 weights and Adam's means to the host; writing goes on beside training."""
    part = 12.0 * job.model.num_parameters / setting.workers
    copied = 0.0 if setting.offload != "none" else part / device.host_rate
    return copied / job.checkpoint_every_steps
