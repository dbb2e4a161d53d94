"""Benchmarks that are recognised by the names of their files, and which of their fields count.

Pieces of a part belong together in this order, as they would in a leaked file. Where the prompt is
a whole file of a real repository, only the words around the hole make n-grams: its licence header
and imports say nothing about the answer. The whole of it still counts for near matches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

AROUND = 30
"""Words beside the hole that make n-grams in benchmarks cut from real repositories."""


@dataclass(frozen=True)
class Piece:
    """A field, or only its last (``words`` < 0) or first (> 0) words."""

    field: str
    words: int = 0


@dataclass(frozen=True)
class FieldMap:
    """How to read one kind of record."""

    parts: tuple[tuple[Piece, ...], ...]
    """Texts whose word runs are looked for."""
    ids: tuple[str, ...] = ()
    """Fields that together name the item."""
    language: str = ""
    """Field of the language, where one problem is asked in several."""
    whole: tuple[Piece, ...] = ()
    """The text for near matches; the first part if not given."""
    id_pattern: str = ""
    """What of the id names the problem: records of one problem are one item."""
    joiner: str = ""
    """Between pieces; empty where holes may lie inside a line."""


@dataclass(frozen=True)
class KnownSet:
    """A benchmark, the path (``folder/file``) that gives it away, and its fields."""

    name: str
    pattern: str
    fields: FieldMap

    def matches(self, path: str) -> bool:
        """Whether ``path`` is a file of it."""
        return re.search(self.pattern, path, re.IGNORECASE) is not None


def _pieces(*fields: str) -> tuple[Piece, ...]:
    return tuple(Piece(field) for field in fields)


_END = r"\.jsonl(\.gz)?$"

KNOWN_SETS = (
    KnownSet(
        "HumanEval-Infilling",
        rf"(^|/)HumanEval-(SingleLine|MultiLine|RandomSpan)Infilling(Light)?{_END}",
        FieldMap(
            parts=(_pieces("prompt", "canonical_solution", "suffix"), _pieces("test")),
            ids=("task_id",),
            id_pattern=r"HumanEval/\d+",
        ),
    ),
    KnownSet(
        "MultiPL-E",
        rf"multipl-?e[^/]*/(humaneval|mbpp)-[a-z]+[^/]*{_END}",
        FieldMap(parts=(_pieces("prompt"), _pieces("tests")), ids=("name",), language="language"),
    ),
    KnownSet(
        "HumanEval",
        rf"(^|/)(HumanEval|human-eval[^/]*){_END}",
        FieldMap(
            parts=(_pieces("prompt", "canonical_solution"), _pieces("test")),
            ids=("task_id",),
            id_pattern=r"\d+$",
        ),
    ),
    KnownSet(
        "MBPP",
        rf"(^|/)(sanitized-)?mbpp{_END}",
        FieldMap(
            parts=(_pieces("text"), _pieces("code"), _pieces("test_list")),
            ids=("task_id",),
            whole=_pieces("text", "code"),
            joiner="\n",
        ),
    ),
    KnownSet(
        "SantaCoder-FIM",
        rf"santacoder[^/]*/(py|java|js){_END}",
        FieldMap(
            parts=(_pieces("prompt", "canonical_solution", "suffix"), _pieces("tests")),
            ids=("name",),
            language="language",
            id_pattern=r"HumanEval_\d+\w*",
            joiner="\n",
        ),
    ),
    KnownSet(
        "CrossCodeEval",
        rf"(crosscodeeval|cceval)[^/]*/[^/]+{_END}",
        FieldMap(
            parts=(
                (Piece("prompt", -AROUND), Piece("groundtruth"), Piece("right_context", AROUND)),
            ),
            ids=("metadata.task_id",),
            whole=_pieces("prompt", "groundtruth", "right_context"),
        ),
    ),
    KnownSet(
        "RepoEval",
        rf"(repoeval|repocoder)[^/]*/[^/]+{_END}",
        FieldMap(
            parts=((Piece("prompt", -AROUND), Piece("metadata.ground_truth")),),
            ids=("metadata.fpath_tuple", "metadata.lineno"),
            whole=_pieces("prompt", "metadata.ground_truth"),
            joiner="\n",
        ),
    ),
)
"""In the order in which they are tried."""
