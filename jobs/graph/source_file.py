"""A file of a repository as the graph and the sampling strategies see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceFile:
    """What the strategies need to know of a file."""

    path: str
    language: str
    text: str
