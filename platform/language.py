"""Which language a file is in, by linguist's rules (through enry)."""

from __future__ import annotations

from functools import cache

import enry

HEAD_BYTES = 65_536
"""Enough for linguist's heuristics on ambiguous endings; the whole of a large file costs more."""


def detect_language(path: str, content: bytes) -> str:
    """Linguist's name of the language, or empty.

    By name, modeline and ``#!`` line first; for endings that several languages share (``.h``,
    ``.m``) by the content. A name that tells nothing leaves the content alone to tell, but only
    safe answers count: a guess at any price would make every text file a program.
    """
    head = content[:HEAD_BYTES]
    found = str(enry.get_language(path, head))
    if found:
        return found
    guess = enry.get_language_by_shebang(head)
    return str(guess.language) if guess.safe else ""


@cache
def language_kind(language: str) -> str:
    """Linguist's type: ``programming``, ``markup``, ``data``, ``prose`` or ``unknown``."""
    return str(enry.get_language_type(language)) if language else "unknown"
