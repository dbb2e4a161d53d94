"""Words and shingles as a plain script makes them."""

from __future__ import annotations

import re

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")


def shingles(content: bytes, size: int = 5) -> set[bytes]:
    """The word 5-grams of a file, or all its words if it has fewer."""
    words = WORD.findall(content)
    if len(words) < size:
        return {b" ".join(words)} if words else set()
    return {b" ".join(words[i : i + size]) for i in range(len(words) - size + 1)}
