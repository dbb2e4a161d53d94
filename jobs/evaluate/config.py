"""Settings of the evaluation step."""

from __future__ import annotations

from pydantic import Field

from treespan.platform.config import Config


class EvaluateConfig(Config):
    """Which holes are cut into held-out files, and how much is generated."""

    seed: int = 0
    """Another seed takes other files and holes."""
    files: int = Field(default=200, ge=1)
    """At most this many held-out files; each gets one hole of every kind."""
    context_tokens: int | None = Field(default=None, ge=64)
    """The longest sequence that is scored; by default the length of a training row."""
    max_middle_bytes: int = Field(default=256, ge=1)
    """Longer holes are not drawn: they cannot be met exactly, and cost the most to generate."""
    shown: int = Field(default=6, ge=0)
    """Completions kept for the report, side by side with the truth."""
