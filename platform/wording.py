"""Decisions of the ledger as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEASURES = {
    "oversize": "bytes",
    "repo-cap": "bytes of the repository with it",
    "language": "not among the languages to keep",
    "licence": "not allowed by the policy",
    "repository-duplicate": "share of its repository's contents that another one has",
    "ranking": "score of its repository",
    "size": "bytes",
    "language-rate": "times in an epoch",
    "words": "words",
    "line-length": "characters in the longest line",
    "mean-line-length": "characters in a line on average",
    "alphanumeric": "share of letters and digits",
    "exact-duplicate": "the same bytes",
    "near-duplicate": "Jaccard similarity of words in fives",
    "syntax": "share of bytes in syntax errors",
    "benchmark-ngram": "words in a row of a benchmark",
    "benchmark-near": "share of a benchmark that it holds",
}
"""What the value of a rule is; rules that are not here tell it in their detail or name."""


def is_of_earlier_corpus(decision: Mapping[str, Any]) -> bool:
    """Whether the matched file is of an earlier run: then the detail names it, and its id may be that
    of the file itself, an unchanged file of the same repository.
    """
    return decision["rule"] in ("exact-duplicate", "near-duplicate") and bool(decision["detail"])


def in_words(decision: Mapping[str, Any], matched: str = "") -> str:
    """A decision as a person reads it; ``matched`` names the file behind ``matched_id``."""
    said = f"{decision['action']} by rule {decision['rule']}"
    measured = measured_in_words(decision)
    if measured:
        said += f": {measured}"
    if matched:
        said += f"; kept instead: {matched}"
        similarity = decision["similarity"]
        if similarity is not None and similarity != decision["value"]:
            said += f", similarity {similarity:.3f}"
    return said


def measured_in_words(decision: Mapping[str, Any]) -> str:
    """What was measured: ``words, 3 against 5``; empty where nothing was and nothing is told."""
    said = MEASURES.get(decision["rule"], "")
    if decision["value"] is not None and decision["rule"] != "exact-duplicate":
        said += (", " if said else "") + _number(decision["value"])
        if decision["threshold"] is not None:
            said += f" against {_number(decision['threshold'])}"
    if decision["detail"]:
        said += (" " if said else "") + f"({decision['detail']})"
    return said


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
