"""Settings of the tokenizer step."""

from __future__ import annotations

from pydantic import Field

from treespan.model.fim_format import FimFormat
from treespan.platform.config import Config
from treespan.platform.uri import PathOrUri


class TokenizeConfig(Config):
    """A byte-level BPE tokenizer and the sentinels it carries."""

    seed: int = 0
    """Another seed learns from another sample."""
    load: PathOrUri | None = None
    """A ``tokenizer.json``, a folder with one (a checkpoint, a model of Hugging Face), or a GGUF, to
    use instead of training."""
    add_missing: bool = True
    """Whether special tokens that a loaded tokenizer lacks are added to it."""
    vocab_size: int = Field(default=49_152, ge=262)
    """Number of ids, sentinels included; of a loaded tokenizer, what it has. The paper's 49,152."""
    sample_bytes: int = Field(default=256_000_000, ge=1)
    """About how much text the merges are learnt from. It is read file by file: training took
    0.4 GB of memory on 200 MB of text."""
    language_exponent: float = Field(default=0.5, ge=0, le=1)
    """A language's part of the sample is its share of the corpus to this power. 1 takes the corpus
    as it is, 0 as much of each language. Ours: merges of a rare language pay whenever it is read,
    and a common one needs no more text to show its words."""
    fim_format: FimFormat = FimFormat()
    """Names of the special tokens and how sequences are laid out: the name of a format that ships
    with Treespan, or its fields, with ``base: NAME`` on top of one of those."""
