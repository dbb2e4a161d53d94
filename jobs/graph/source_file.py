"""A source file as the graph and the sampling see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceFile:
    """What is needed to know of a file."""

    path: str
    language: str
    text: str
