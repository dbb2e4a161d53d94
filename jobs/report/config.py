"""Settings of the report."""

from __future__ import annotations

from treespan.platform.config import Config


class ReportConfig(Config):
    """What the page says about the run."""

    title: str = "A Treespan run"
    """Heading of the page."""
