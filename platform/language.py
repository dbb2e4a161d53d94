"""Which language a file is in, by linguist's rules (through enry)."""

from __future__ import annotations

import re
from functools import cache, lru_cache

import enry
from enry._c_enry import ffi
from enry.definitions import lib
from enry.utils import go_str_slice_to_py

HEAD_BYTES = 65_536
"""Enough for linguist's heuristics on ambiguous endings; the whole of a large file costs more."""

_SCOPE_LINES = 5
"""Linguist looks for modelines so far from either end."""

_BEATS_NAME = re.compile(rb"#!|-\*-|(?:filetype|ft|syntax)\s*=", re.IGNORECASE)
"""In every ``#!`` line and every modeline, and in little else: only these beat a clear name."""


def detect_language(path: str, content: bytes) -> str:
    """Linguist's name of the language, or empty.

    By name, modeline and ``#!`` line first; for endings that several languages share (``.h``,
    ``.m``) by the content. A name that tells nothing leaves the content alone to tell, but only
    safe answers count: a guess at any price would make every text file a program.
    """
    head = content[:HEAD_BYTES]
    named = language_of_name(path)
    if named and not _BEATS_NAME.search(_ends(head)):
        return named  # what enry would say, at a tenth of the time
    found = str(enry.get_language(path, head))
    if found:
        return found
    guess = enry.get_language_by_shebang(head)
    return str(guess.language) if guess.safe else ""


def language_of_name(path: str) -> str:
    """The only language for the file's name or ending; empty if there is none, or several."""
    name = path.rpartition("/")[2]
    languages = enry.get_languages_by_filename(name)
    if languages:
        return str(languages[0]) if len(languages) == 1 else ""
    _, dot, ending = name.partition(".")
    return _language_of_ending(dot + ending)


@lru_cache(maxsize=10_000)
def _language_of_ending(ending: str) -> str:
    # enry's Python names have no list by ending, and of several languages give the first as safe.
    name = f"x{ending}".encode()
    found = go_str_slice_to_py(lib, lib.GetLanguagesByExtension(name, b"", 0, ffi.NULL))
    return str(found[0]) if len(found) == 1 else ""


def _ends(text: bytes) -> bytes:
    """The lines of ``text`` that may hold modelines, and one more at either end."""
    lines = _SCOPE_LINES + 1
    return b"\n".join((*text.split(b"\n", lines)[:lines], *text.rsplit(b"\n", lines)[-lines:]))


@cache
def language_kind(language: str) -> str:
    """Linguist's type: ``programming``, ``markup``, ``data``, ``prose`` or ``unknown``."""
    return str(enry.get_language_type(language)) if language else "unknown"
