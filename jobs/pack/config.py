"""Settings of the packing step."""

from __future__ import annotations

from pydantic import Field

from treespan.model.objectives import ObjectiveMix
from treespan.platform.config import Config


class PackConfig(Config):
    """How documents become rows."""

    seed: int = 0
    """Another seed draws other objectives and spans."""
    seq_len: int = Field(default=8_192, ge=64)
    """Tokens of a row; the positions of the default model. The paper has 32,768."""
    epochs: int = Field(default=1, ge=1)
    """How often the corpus is packed; each epoch draws objectives and spans anew."""
    objectives: ObjectiveMix = ObjectiveMix()
    """What is learnt from the pieces."""
    heldout_rows: int = Field(default=256, ge=0)
    """At most so many rows of held-out repositories are packed, for the loss on them while training;
    0 packs none."""
    max_parse_bytes: int = Field(default=1_000_000, ge=0)
    """Larger files have no structured holes: they fall back to ``fim``. That of curation's check of
    syntax, which tries how long parsing takes; nobody has tried it with larger files."""
