"""From scored holes to a table of scores per model and objective: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

MODELS = ("trained", "untrained", "unigram")

SCORED = pa.schema(
    [
        ("file_id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("objective", pa.string()),
        ("node_type", pa.string()),
        ("middle_bytes", pa.int64()),
        *[(f"{model}_middle_nats", pa.float64()) for model in MODELS],
        *[(f"{model}_end_nats", pa.float64()) for model in MODELS],
        ("exact", pa.bool_()),
        ("truth", pa.large_string()),
        ("answer", pa.large_string()),
        ("prefix_tail", pa.large_string()),
        ("suffix_head", pa.large_string()),
    ]
)
"""One row is a hole with its losses under every model and the trained model's greedy answer."""


def score_table(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Per objective and model: bits per byte of the middle, nats of the end mark, exact share.

    Losses of middles are summed before they are divided by the sum of bytes, so a long middle
    counts as much as its bytes. Exact match exists for the trained model's holes only.
    """
    by_objective: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_objective.setdefault(row["objective"], []).append(row)
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for objective in sorted(by_objective):
        holes = by_objective[objective]
        total_bytes = sum(hole["middle_bytes"] for hole in holes)
        table[objective] = {}
        for model in MODELS:
            nats = sum(hole[f"{model}_middle_nats"] for hole in holes)
            ends = [e for hole in holes if (e := hole[f"{model}_end_nats"]) is not None]
            scores: dict[str, Any] = {
                "holes": len(holes),
                "nats_per_byte": _rounded(nats / max(1, total_bytes)),
                "bits_per_byte": _rounded(nats / max(1, total_bytes) / math.log(2)),
                "end_nats": _rounded(sum(ends) / len(ends)) if ends else None,
            }
            if model == "trained" and objective != "ntp":
                scores["exact_match"] = _rounded(sum(h["exact"] for h in holes) / len(holes))
            table[objective][model] = scores
    return table


def _rounded(value: float) -> float:
    return round(value, 6)
