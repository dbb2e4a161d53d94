"""Settings of the training step."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from treespan.model.config import ModelConfig, preset
from treespan.platform.config import Config
from treespan.platform.errors import UserError


class OptimizerConfig(Config):
    """AdamW, and a learning rate that warms up and then falls by a cosine."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """The peak. (The paper reports 1e-5, which is usual for continued pretraining only.)"""
    min_learning_rate_share: float = Field(default=0.1, ge=0, le=1)
    """The end of the cosine, as a share of the peak. The paper's 1e-6 of 1e-5."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of linear warm-up."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of the gradient."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of its square."""
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices only; norms are left alone."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


class TrainConfig(Config):
    """What is trained, for how long, and on how many workers."""

    seed: int = 0
    """Another seed starts from other weights and reads rows in another order."""
    preset: str = "small"
    """Shape of the model: a preset of ``treespan.model.config``."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Fields of the shape that differ from the preset."""
    steps: int = Field(default=1000, ge=1)
    """Optimizer steps."""
    global_batch: int = Field(default=512, ge=1)
    """Rows in a step, over all workers. The paper's 512."""
    micro_batch: int = Field(default=1, ge=1)
    """Rows that a worker puts through the model at once."""
    num_workers: int = Field(default=2, ge=1)
    """Ray Train workers."""
    zero_stage: Literal[1, 2, 3] = 2
    """What DeepSpeed splits over the workers: optimizer state (1), gradients too (2), weights too
    (3). There is no 0: under bf16 DeepSpeed would then keep no float32 weights."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How weights are updated."""
    checkpoint_every_steps: int = Field(default=200, ge=1)
    """A worker or driver that dies costs at most this many steps."""
    max_failures: int = Field(default=3, ge=0)
    """So many times lost workers are replaced and training goes on from the last checkpoint."""

    @model_validator(mode="after")
    def _rows_divide(self) -> TrainConfig:
        per_pass = self.num_workers * self.micro_batch
        if self.global_batch % per_pass:
            raise ValueError(
                f"global_batch {self.global_batch} is not a multiple of num_workers x micro_batch "
                f"({self.num_workers} x {self.micro_batch} = {per_pass})"
            )
        return self

    def shape(self, vocab_size: int) -> ModelConfig:
        """The model for a vocabulary. Raises ``UserError`` for an impossible shape."""
        if "vocab_size" in self.model:
            raise UserError(
                "train.model.vocab_size cannot be set: it is the tokenizer's.",
                "Set tokenize.vocab_size.",
            )
        return preset(self.preset, vocab_size=vocab_size, **self.model)

    def decisive(self) -> dict[str, Any]:
        """The settings that decide what comes out, as JSON types.

        How often to save and how often to try again do not: changing them must not cost a run.
        """
        return self.model_dump(mode="json", exclude={"checkpoint_every_steps", "max_failures"})

    @property
    def accumulation(self) -> int:
        """Micro batches of one worker in one step."""
        return self.global_batch // (self.num_workers * self.micro_batch)
