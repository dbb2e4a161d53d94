"""Settings of the training step.

``execution``, ``checkpoints``, ``metrics`` and ``max_failures`` say how a run is carried out. They
change its output by rounding at most, so a run may go on with others of them; everything else
decides what is learnt and names the run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from treespan.model.config import ModelConfig, preset
from treespan.model.lora import Adapters
from treespan.platform.config import Config
from treespan.platform.errors import UserError
from treespan.platform.uri import PathOrUri

_DEFAULT_STEPS = 1000


class OptimizerConfig(Config):
    """AdamW and its learning rate."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """The peak. (The paper reports 1e-5, which is usual for continued pretraining only.)"""
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    """What follows the warm-up: a cosine to the end; or the peak and then, over the last
    ``decay_share``, a line down (warm-up, stable, decay: arXiv 2404.06395); or the peak alone."""
    min_learning_rate_share: float = Field(default=0.1, ge=0, le=1)
    """Where the rate ends, as a share of the peak. The paper's 1e-6 of 1e-5."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of linear warm-up."""
    decay_share: float = Field(default=0.1, ge=0, le=1)
    """The part of all steps in which ``wsd`` falls."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of the gradient."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """Decay of the mean of its square."""
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices only; norms and biases are left alone."""
    gradient_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""


class LoraConfig(Config):
    """Low-rank adapters (arXiv 2106.09685) instead of all weights."""

    rank: int = Field(default=16, ge=1)
    """Width of the two factors."""
    alpha: float = Field(default=32.0, gt=0)
    """The product of the factors is scaled by alpha / rank."""
    targets: tuple[str, ...] = Field(
        min_length=1,
        default=(
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ),
    )
    """Names of the matrices that get an adapter."""
    train_embeddings: bool = False
    """Whether the embedding and the output projection are trained too, whole. New sentinels need
    it."""

    def adapters(self) -> Adapters:
        """As the model knows them."""
        return Adapters(self.rank, self.alpha, self.targets, self.train_embeddings)


class HeadsConfig(Config):
    """Losses beside that of the next token; all off by default, and none is part of what serves."""

    length_weight: float = Field(default=0.0, ge=0)
    """Weight of predicting how much of the middle is left (arXiv 2410.03103, whose value is 0.1)."""
    extra_tokens: int = Field(default=0, ge=0, le=7)
    """How many further tokens each position predicts (arXiv 2404.19737)."""
    extra_tokens_weight: float = Field(default=0.3, ge=0)
    """Weight of their mean loss (arXiv 2412.19437)."""


class AnomalyConfig(Config):
    """What happens when training goes wrong. Whatever is done is said, and stands in the losses."""

    skip_norm_ratio: float = Field(default=20.0, gt=1)
    """An update whose gradient norm is more than so many times the median of the last 128 is left
    out; one that is not finite always is. (Ours: clipping bounds the length of an update, not that
    its direction is one row's.)"""
    spike_deviations: float = Field(default=8.0, gt=0)
    """A loss so many standard deviations above the median of the last 128 is a spike; deviations
    are estimated by the median absolute one, which spikes do not move."""
    spike_steps: int = Field(default=4, ge=1)
    """So many spikes or left-out updates in a row roll back to the last checkpoint; the rows since
    then are skipped (PaLM, arXiv 2204.02311, section 5.1)."""
    max_rollbacks: int = Field(default=3, ge=0)
    """So often; then training ends with an error."""


class ValidationConfig(Config):
    """Loss on rows of held-out repositories, while training."""

    every_steps: int | None = Field(default=None, ge=1)
    """How often; by default ten times in a run. The first is before the first step."""
    rows: int = Field(default=64, ge=0)
    """How many rows at most; 0 turns validation off."""


class ExecutionConfig(Config):
    """On how many workers, and how the work is divided among them."""

    num_workers: int | tuple[int, int] = 2
    """Ray Train workers; ``[least, most]`` lets their number follow the cluster."""
    use_gpu: bool = False
    """Whether every worker has a GPU; otherwise it computes on CPUs."""
    cpus_per_worker: int = Field(default=1, ge=1)
    """Logical CPUs that Ray reserves for a worker, and threads that it computes with on the CPU."""
    micro_batch: int = Field(default=1, ge=1)
    """Rows that a worker puts through the model at once."""
    zero_stage: Literal[0, 1, 2, 3] = 2
    """What DeepSpeed splits over the workers: nothing (0), the optimizer's state (1), gradients too
    (2), weights too (3)."""
    offload: Literal["none", "cpu", "nvme"] = "none"
    """Where the optimizer's state lives, and the weights of stage 3."""
    nvme_folder: str | None = None
    """A folder on the NVMe disk of every node."""
    sequence_parallel: int = Field(default=1, ge=1)
    """So many workers share a row (DeepSpeed-Ulysses, arXiv 2309.14509): each has a part of its
    tokens, and during attention a part of the heads."""
    checkpoint_activations: bool = False
    """Whether only the inputs of blocks are kept, and the rest computed anew backwards."""
    attention: Literal["auto", "sdpa", "documents", "flex", "varlen"] = "auto"
    """Back end of attention; ``auto`` takes the fastest that the device has."""
    compile: bool = False
    """Whether blocks are compiled by torch, which takes a compiler and a minute at the start."""

    @model_validator(mode="after")
    def _check(self) -> ExecutionConfig:
        if not 1 <= self.min_workers <= self.max_workers:
            raise ValueError(f"num_workers {self.num_workers} is no range: write [least, most]")
        if self.min_workers % self.sequence_parallel:
            raise ValueError(
                f"num_workers {self.min_workers} is not a multiple of sequence_parallel "
                f"{self.sequence_parallel}"
            )
        if self.sequence_parallel > 1 and self.min_workers != self.max_workers:
            raise ValueError("sequence_parallel needs one number of workers, not a range")
        if self.offload != "none" and self.zero_stage == 0:
            raise ValueError("offload needs zero_stage 1, 2 or 3")
        if self.offload == "nvme" and (self.zero_stage != 3 or self.nvme_folder is None):
            raise ValueError("offload to nvme needs zero_stage 3 and an nvme_folder")
        return self

    @property
    def min_workers(self) -> int:
        """The least number of workers."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[0]

    @property
    def max_workers(self) -> int:
        """The greatest number of workers."""
        return self.num_workers if isinstance(self.num_workers, int) else self.num_workers[1]

    def passes(self, global_batch: int, world: int) -> int:
        """Micro batches of each of ``world`` workers in a step; the last ones may be part empty."""
        rows = -(-global_batch // (world // self.sequence_parallel))
        return -(-rows // self.micro_batch)


class CheckpointsConfig(Config):
    """Training states, from which a run goes on; they are removed when it is done."""

    every_steps: int = Field(default=200, ge=1)
    """A worker or driver that dies costs at most this many steps."""
    keep: int = Field(default=2, ge=1)
    """How many of the newest stay; more than one, so that a damaged one costs little."""


class MetricsConfig(Config):
    """Where figures go besides the terminal, the losses table and Ray's own metrics."""

    every_steps: int = Field(default=1, ge=1)
    """How often."""
    tensorboard: PathOrUri | None = None
    """Folder for TensorBoard."""
    wandb_project: str | None = None
    """Project of Weights & Biases; the key comes from WANDB_API_KEY."""
    mlflow_uri: PathOrUri | None = None
    """Tracking server of MLflow."""


class TrainConfig(Config):
    """What is trained, for how long, and on how many workers."""

    seed: int = 0
    """Another seed starts from other weights and reads rows in another order."""
    preset: str = "small"
    """Shape of the model: a preset of ``treespan.model.config``; of ``start_from``, its own."""
    model: dict[str, Any] = Field(default_factory=dict)
    """Fields of the shape that differ from the preset."""
    start_from: PathOrUri | None = None
    """Weights to go on from: a folder of Hugging Face or of Treespan, or a GGUF file. The step
    ``tokenize`` should load its tokenizer."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; 1,000 where neither this nor ``tokens`` is given."""
    tokens: int | None = Field(default=None, ge=1)
    """Tokens to read, padding included."""
    global_batch: int = Field(default=512, ge=1)
    """Rows in a step, over all workers. The paper's 512."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of products of matrices and of what is kept for the way back; the optimizer is always fp32."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """How weights are updated."""
    lora: LoraConfig | None = None
    """Adapters; by default all weights are trained."""
    heads: HeadsConfig = HeadsConfig()
    """Further losses."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a running mean of the weights, which is then what serves; off by default."""
    anomalies: AnomalyConfig = AnomalyConfig()
    """Rules for spikes and values that are not finite."""
    validation: ValidationConfig = ValidationConfig()
    """Loss on held-out rows."""
    execution: ExecutionConfig = ExecutionConfig()
    """Workers, and how the work is divided."""
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    """Training states."""
    metrics: MetricsConfig = MetricsConfig()
    """Where figures go."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """So many times lost workers are replaced and training goes on from the last checkpoint."""

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.steps is not None and self.tokens is not None:
            raise ValueError("give either steps or tokens, not both")
        execution = self.execution
        cast = execution.zero_stage == 0 and self.precision == "bf16"
        if execution.checkpoint_activations and cast:
            # What is computed anew would see the weights as they are, not as they were cast.
            raise ValueError("checkpoint_activations needs zero_stage 1, 2 or 3")
        if self.start_from is not None and self.model:
            raise ValueError("model cannot be changed where start_from brings its own shape")
        if self.lora is not None and self.start_from is None:
            raise ValueError(
                "lora needs start_from, since adapters of random weights learn nothing: set it, "
                "or remove lora"
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
        """The settings that decide what comes out, as JSON types."""
        how = {"execution", "checkpoints", "metrics", "max_failures"}
        return self.model_dump(mode="json", exclude=how)

    def total_steps(self, seq_len: int) -> int:
        """Optimizer steps, with rows of ``seq_len`` tokens."""
        if self.tokens is None:
            return self.steps or _DEFAULT_STEPS
        return -(-self.tokens // (self.global_batch * seq_len))
