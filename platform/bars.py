"""Bars of characters for tables in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = " ▁▂▃▄▅▆▇█"


def bar(share: float, width: int) -> str:
    """A bar that lies, ``share`` (0 to 1) of ``width`` characters long; a stub for a tiny share."""
    eighths = max(round(min(share, 1.0) * width * 8), 1 if share > 0 else 0)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def columns(values: Sequence[float]) -> str:
    """A column of a character for each of ``values``, the largest being as high as the line."""
    most = max(values, default=0.0)
    heights = [0 if value <= 0 else max(1, round(8 * value / most)) for value in values]
    return "".join(_LEVELS[height] for height in heights)
