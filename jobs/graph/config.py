"""Settings of the graph step."""

from __future__ import annotations

from pydantic import Field

from treespan.platform.config import Config


class GraphConfig(Config):
    """What is parsed for the graph."""

    max_parse_bytes: int = Field(default=1_000_000, ge=0)
    """Larger files are nodes without edges of their own. Ours: what is larger is nearly always
    generated, and curation parses no larger files either, so a grammar might hang on them."""
