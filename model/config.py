"""The shape of a Llama-class transformer, and the sizes that we ship as presets.

Everything that follows from the shape alone is counted here (parameters, operations per token), so
that a plan for a cluster never needs to allocate a model.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from treespan.model.rope_scaling import RopeScaling
from treespan.platform.config import Config, build
from treespan.platform.errors import UserError


class ModelConfig(Config):
    """Shape and constants of a transformer."""

    vocab_size: int = Field(gt=0)
    """Rows of the embedding; at least the ids of the tokenizer."""
    hidden_size: int = Field(gt=0)
    """Width of the residual stream."""
    intermediate_size: int = Field(gt=0)
    """Width inside the feed-forward block."""
    num_layers: int = Field(gt=0)
    """Number of blocks."""
    num_heads: int = Field(gt=0)
    """Query heads."""
    num_kv_heads: int = Field(gt=0)
    """Key and value heads, each shared by num_heads / num_kv_heads query heads."""
    max_positions: int = Field(gt=0)
    """The longest sequence, in tokens."""
    rope_theta: float = Field(default=256_000.0, gt=1)
    """Base of the rotary wavelengths."""
    rope_scaling: RopeScaling | None = None
    """How the rotary angles of longer sequences than the first training's are slowed."""
    head_width: int | None = Field(default=None, gt=0)
    """Width of one head; by default hidden_size / num_heads."""
    attention_bias: Literal["none", "qkv", "all"] = "none"
    """Which projections of attention have a bias: those of queries, keys and values as in Qwen2, or
    the output's too, as in Llama with ``attention_bias``."""
    norm_eps: float = Field(default=1e-6, gt=0)
    """Added to the mean square in a norm."""
    tie_embeddings: bool = False
    """Whether the output projection is the embedding."""
    init_std: float = Field(default=0.02, gt=0)
    """Standard deviation of fresh weights."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.head_width is None and self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}; "
                f"change one of them, or give head_width"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads "
                f"{self.num_kv_heads}; change one of them"
            )
        if self.head_dim % 2:
            raise ValueError(
                f"the head width {self.head_dim} (hidden_size / num_heads) is odd, which rotary "
                f"positions cannot use; choose another num_heads or head_width"
            )
        return self

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.head_width or self.hidden_size // self.num_heads

    @property
    def layer_matrix_parameters(self) -> int:
        """Parameters of one block that take part in a product of matrices."""
        heads = 2 * self.num_heads + 2 * self.num_kv_heads  # of queries and output, keys and values
        return self.hidden_size * (heads * self.head_dim + 3 * self.intermediate_size)

    @property
    def layer_parameters(self) -> int:
        """Parameters of one block, with biases and norms."""
        biases = 0
        if self.attention_bias != "none":
            biases += (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        if self.attention_bias == "all":
            biases += self.hidden_size
        return self.layer_matrix_parameters + biases + 2 * self.hidden_size

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the embedding and, if it is not tied, of the output projection."""
        return (1 if self.tie_embeddings else 2) * self.vocab_size * self.hidden_size

    @property
    def num_parameters(self) -> int:
        """All parameters; a tied matrix counts once."""
        return (
            self.embedding_parameters + self.num_layers * self.layer_parameters + self.hidden_size
        )

    def flops_per_token(self, seq_len: int) -> int:
        """Floating point operations of forward and backward for one token of a ``seq_len`` row.

        6 N + 12 L H Q T, as in PaLM (arXiv 2204.02311, appendix B): N counts the weights that take
        part in a matrix product (the embedding look-up and biases do not, the output projection
        does), H Q is the width of all heads, and attention is counted as if it were not causal, so
        that utilisation compares with published numbers. Recomputed activations do not count.
        """
        weights = self.num_layers * self.layer_matrix_parameters
        weights += self.vocab_size * self.hidden_size
        return 6 * weights + 12 * self.num_layers * self.num_heads * self.head_dim * seq_len


_SHAPES: dict[str, dict[str, int]] = {
    "nano": {
        "hidden_size": 256,
        "intermediate_size": 640,
        "num_layers": 4,
        "num_heads": 4,
        "num_kv_heads": 2,
        "max_positions": 2048,
    },
    "tiny": {
        "hidden_size": 512,
        "intermediate_size": 1408,
        "num_layers": 6,
        "num_heads": 8,
        "num_kv_heads": 4,
        "max_positions": 4096,
    },
    "small": {
        "hidden_size": 768,
        "intermediate_size": 2304,
        "num_layers": 12,
        "num_heads": 12,
        "num_kv_heads": 4,
        "max_positions": 8192,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_layers": 24,
        "num_heads": 16,
        "num_kv_heads": 4,
        "max_positions": 8192,
    },
    "3b": {
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_layers": 28,
        "num_heads": 24,
        "num_kv_heads": 8,
        "max_positions": 16384,
    },
    "7b": {
        "hidden_size": 4096,
        "intermediate_size": 14464,
        "num_layers": 32,
        "num_heads": 32,
        "num_kv_heads": 8,
        "max_positions": 32768,
    },
}
PRESETS = MappingProxyType(_SHAPES)
"""Shapes by name, all with head widths and sizes that matrix units like (multiples of 64).

nano: 4.9 M parameters with a vocabulary of 4,096; tiny: 26 M with 8,192; small: 133 M with 32,768;
1b, 3b and 7b: 1.28, 3.12 and the paper's 7,432,572,928 with 49,152.
"""


def preset(name: str, /, *, vocab_size: int, **changes: Any) -> ModelConfig:
    """The preset ``name`` for a vocabulary, with other fields changed if given.

    Raises ``UserError`` for an unknown name or field, or an impossible shape.
    """
    if name not in PRESETS:
        raise UserError(f"there is no model preset {name!r}.", f"Choose one of {sorted(PRESETS)}.")
    values = {**PRESETS[name], **changes, "vocab_size": vocab_size}
    return build(ModelConfig, values, where=f"model preset {name!r}")
