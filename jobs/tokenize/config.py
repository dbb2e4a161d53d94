"""Settings of the tokenizer step."""

from __future__ import annotations

from pydantic import Field

from treespan.model.fim_format import FimFormat
from treespan.platform.config import Config


class TokenizeConfig(Config):
    """A byte-level BPE tokenizer and the sentinels it carries."""

    seed: int = 0
    """Another seed learns from another sample."""
    vocab_size: int = Field(default=49_152, ge=262)
    """Number of ids, sentinels included. The paper's 49,152."""
    sample_bytes: int = Field(default=256_000_000, ge=1)
    """About how much text the merges are learnt from; it is held in memory while training."""
    fim_format: FimFormat = FimFormat()
    """Names of the special tokens and how sequences are laid out."""
