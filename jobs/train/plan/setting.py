"""What is to be planned: a training job, and one way to carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from treespan.jobs.train.config import ExecutionConfig, TrainConfig
from treespan.model.config import ModelConfig

Offload = Literal["none", "cpu", "nvme"]


@dataclass(frozen=True)
class Job:
    """What is trained; the same however it is carried out."""

    model: ModelConfig
    seq_len: int  # tokens in a row
    global_batch: int  # rows in a step
    steps: int
    bf16: bool = True
    checkpoint_every_steps: int = 200

    @property
    def tokens_per_step(self) -> int:
        """Tokens of a step, padding included."""
        return self.global_batch * self.seq_len

    @property
    def total_tokens(self) -> int:
        """Tokens of the whole run."""
        return self.steps * self.tokens_per_step

    @property
    def value_bytes(self) -> int:
        """Of a weight or activation in the products."""
        return 2 if self.bf16 else 4


def job_of(train: TrainConfig, vocab_size: int, seq_len: int) -> Job:
    """The job of a recipe's ``train``; of ``start_from``, with that model's shape.

    Raises ``UserError`` for an impossible shape, weights that cannot be read, and rows that are
    longer than the model has positions.
    """
    if train.start_from is None:
        model = train.shape(vocab_size)
    else:
        # Imports torch, which other plans do without.
        from treespan.jobs.train.start import shape_of_start

        model = shape_of_start(train.start_from, seq_len)
    return Job(
        model=model,
        seq_len=seq_len,
        global_batch=train.global_batch,
        steps=train.total_steps(seq_len),
        bf16=train.precision == "bf16",
        checkpoint_every_steps=train.checkpoints.every_steps,
    )


@dataclass(frozen=True)
class Setting:
    """One way to divide a job among workers, each with one device."""

    workers: int
    micro_batch: int = 1
    zero_stage: int = 2
    offload: Offload = "none"
    sequence_parallel: int = 1
    checkpoint_activations: bool = False
    compiled: bool = False

    @property
    def groups(self) -> int:
        """Workers, or groups of them that share rows, that see different rows."""
        return self.workers // self.sequence_parallel

    def passes(self, global_batch: int) -> int:
        """Micro batches of each worker in a step; the last ones may be part empty."""
        rows = -(-global_batch // self.groups)
        return -(-rows // self.micro_batch)

    def wasted_share(self, global_batch: int) -> float:
        """The part of a step's places that no row fills, since the batch does not divide."""
        return 1 - global_batch / (self.passes(global_batch) * self.micro_batch * self.groups)

    def tokens(self, seq_len: int) -> int:
        """Tokens of one pass on one worker."""
        return self.micro_batch * seq_len // self.sequence_parallel

    def to_recipe(self, use_gpu: bool) -> dict[str, Any]:
        """What to write as ``train.execution`` in a recipe."""
        return {
            "num_workers": self.workers,
            "use_gpu": use_gpu,
            "micro_batch": self.micro_batch,
            "zero_stage": self.zero_stage,
            "offload": self.offload,
            **({"nvme_folder": "/mnt/nvme"} if self.offload == "nvme" else {}),
            "sequence_parallel": self.sequence_parallel,
            "checkpoint_activations": self.checkpoint_activations,
            "compile": self.compiled,
        }


def setting_of(execution: ExecutionConfig, workers: int | None = None) -> Setting:
    """The setting that a recipe has now, with another number of workers if given."""
    return Setting(
        workers=workers or execution.max_workers,
        micro_batch=execution.micro_batch,
        zero_stage=execution.zero_stage,
        offload=execution.offload,
        sequence_parallel=execution.sequence_parallel,
        checkpoint_activations=execution.checkpoint_activations,
        compiled=execution.compile,
    )
