"""Lines as comments of a language: the header of a file in a training sequence or prompt.

The marks are data, ``comments.yaml``. A header stands before all of a file, as in the paper's code,
also before a ``#!`` line, ``<!DOCTYPE``, ``<?xml`` or ``<?php``. Such a file would not run with
the header in it, but nobody runs it: the model sees where the header ends and the file begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

import yaml


def comment_out(lines: Sequence[str], language: str) -> str:
    """Each of ``lines`` as a comment of ``language`` that ends in a newline.

    ``""`` for a language without known comments, and where a line would not stay within its
    comment: one that has a line break or the comment's own marks in it, or ends in a backslash.
    """
    around = _marks().get(language)
    if around is None or any(_leaves(line, *around) for line in lines):
        return ""
    before, after = around
    return "".join(f"{before}{line}{after}\n" for line in lines)


def _leaves(line: str, before: str, after: str) -> bool:
    # Comments nest in some languages, so that an opening mark matters as much as a closing one.
    marks = (before.strip(), after.strip()) if after.strip() else ()
    return (
        line.splitlines() != [line]  # also at U+2028, which ends a line of JavaScript
        or line.endswith("\\")  # which makes the next line a part of a comment of C
        or any(mark in line for mark in marks)
    )


@cache
def _marks() -> Mapping[str, tuple[str, str]]:
    text = files("treespan.model").joinpath("comments.yaml").read_text(encoding="utf-8")
    return {
        language: (syntax["before"], syntax.get("after", ""))
        for syntax in yaml.safe_load(text)
        for language in syntax["languages"]
    }
