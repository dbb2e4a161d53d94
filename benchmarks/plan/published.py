"""Published training speeds in bf16, and what the plan says of the same runs.

    python -m benchmarks.plan.published

Nothing here was run by us. Where a run differs from what the table of devices assumes, the
difference is applied to the prediction: a lower power limit lowers the clock by its cube root (power
goes with frequency times voltage squared), and torchtitan's selective checkpointing computes every
second product of the forward pass again.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from treespan.jobs.train.hardware import accelerator
from treespan.jobs.train.plan.device import TableDevice
from treespan.jobs.train.plan.estimate import step_time
from treespan.jobs.train.plan.setting import Job, Setting
from treespan.model.config import ModelConfig

_LLAMA_8B = ModelConfig(
    vocab_size=128_256,
    hidden_size=4096,
    intermediate_size=14_336,
    num_layers=32,
    num_heads=32,
    num_kv_heads=8,
    max_positions=8192,
)
_TINY_LLAMA = ModelConfig(
    vocab_size=32_000,
    hidden_size=2048,
    intermediate_size=5632,
    num_layers=22,
    num_heads=32,
    num_kv_heads=4,
    max_positions=2048,
)
_TITAN = "pytorch/torchtitan, benchmarks/llama3_h100_202412_torchtitan.md"


@dataclass(frozen=True)
class Published:
    """One published run."""

    name: str
    device: str
    job: Job
    setting: Setting
    tokens_per_s: float  # of a device
    source: str
    power_share: float = 1.0  # of the limit that the device usually has
    products_again: float = 0.0  # of the forward pass

    @property
    def predicted(self) -> float:
        """Tokens per second of a device."""
        row, clock = accelerator(self.device), self.power_share ** (1 / 3)
        slowed = row.model_copy(
            update={
                "sustained_share": row.sustained_share * clock,
                "attention_share": row.attention_share * clock,
            }
        )
        time = step_time(self.job, self.setting, TableDevice(self.device, slowed))
        seconds = time.total + time.products / 3 * self.products_again
        return self.job.tokens_per_step / seconds / self.setting.workers


def _titan(name: str, devices: int, tokens_per_s: float, *, compiled: bool) -> Published:
    return Published(
        name=name,
        device="h100",
        job=Job(_LLAMA_8B, seq_len=8192, global_batch=2 * devices, steps=1000),
        setting=Setting(devices, micro_batch=2, zero_stage=3, compiled=compiled),
        tokens_per_s=tokens_per_s,
        source=_TITAN,
        power_share=500 / 700,
        products_again=0.5,
    )


PUBLISHED = (
    _titan("Llama 3.1 8B, 8 H100, compiled", 8, 6667, compiled=True),
    _titan("Llama 3.1 8B, 8 H100, not compiled", 8, 5762, compiled=False),
    _titan("Llama 3.1 8B, 128 H100, compiled", 128, 6514, compiled=True),
    Published(
        name="TinyLlama 1.1B, 64 A100-40G",
        device="a100-40g",
        job=Job(_TINY_LLAMA, seq_len=2048, global_batch=1024, steps=1000),
        # FSDP over a node's devices; its kernels for norms, rotation and the loss are fused.
        setting=Setting(64, micro_batch=8, zero_stage=2, compiled=True),
        tokens_per_s=24_000,
        source="jzhang38/TinyLlama, README",
    ),
)


def main() -> None:
    """Print the table."""
    table = Table(title="tokens per second of a device, bf16", title_justify="left")
    table.add_column("run")
    for heading in ("predicted", "published", "ratio"):
        table.add_column(heading, justify="right")
    for run in PUBLISHED:
        ratio = run.predicted / run.tokens_per_s
        cells = f"{run.predicted:,.0f}", f"{run.tokens_per_s:,.0f}", f"{ratio:.2f}"
        table.add_row(run.name, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
