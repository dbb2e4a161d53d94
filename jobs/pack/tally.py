"""What a packed part holds, counted by everything that a person asks about: mergeable counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from treespan.jobs.pack.rows import Chunk
from treespan.jobs.pack.segments import Segment

_GROUPS = (
    "segments_by_objective",
    "tokens_by_objective",
    "segments_by_order",
    "fallbacks",
    "segments_by_node",
    "segments_by_kind",
    "tokens_by_language",
    "bytes_by_language",
    "segments_by_node_uniform",
    "middle_bytes_uniform",
    "row_fill",
)


class Tally:
    """Counts of one part: ``/`` in a name separates a group from what is counted in it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add_segments(self, segments: Sequence[Segment]) -> None:
        """Count the segments of a document."""
        counts = self.counts
        for segment in segments:
            tokens = len(segment.tokens)
            language, objective = segment.file.language, segment.objective
            counts["segments"] += 1
            counts["tokens"] += tokens
            counts["text_bytes"] += segment.text_bytes
            counts[f"segments_by_objective/{objective}"] += 1
            counts[f"tokens_by_objective/{objective}"] += tokens
            counts[f"tokens_by_language/{language}"] += tokens
            counts[f"bytes_by_language/{language}"] += segment.text_bytes
            if segment.fallback:
                counts[f"fallbacks/{segment.fallback}"] += 1
            if segment.span is not None:
                counts[f"segments_by_order/{segment.order}"] += 1
                counts[f"middle_bytes/{objective}/{bucket(segment.span.length)}"] += 1
                if segment.span.node_type:
                    counts[f"segments_by_node/{segment.span.node_type}"] += 1
                if segment.uniform is not None:
                    counts[f"middle_bytes_uniform/{bucket(segment.uniform.length)}"] += 1
                    counts[f"segments_by_node_uniform/{segment.uniform.node_type}"] += 1
                if segment.span.kind:
                    counts[f"segments_by_kind/{segment.span.kind}"] += 1

    def add_rows(self, rows: Sequence[Sequence[Chunk]], seq_len: int) -> None:
        """Count rows: how full they are, and their targets."""
        self.counts["rows"] += len(rows)
        for row in rows:
            filled = sum(chunk.length for chunk in row)
            self.counts["target_tokens"] += filled - len(row)
            self.counts[f"row_fill/{100 * filled // seq_len}"] += 1


def bucket(length: int) -> int:
    """The bucket of a length: n holds 2^n to 2^(n+1) - 1 bytes, -1 nothing."""
    return length.bit_length() - 1


def summary(totals: Mapping[str, int], seq_len: int) -> dict[str, Any]:
    """The sums of all parts' counts as the step's manifest tells them."""
    count = Counter(totals)
    groups: dict[str, dict[str, int]] = {name: _below(totals, f"{name}/") for name in _GROUPS}
    text_bytes, tokens = groups.pop("bytes_by_language"), groups.pop("tokens_by_language")
    names = ("files", "segments", "rows", "tokens", "target_tokens", "text_bytes")
    middles: dict[str, dict[str, int]] = {}
    for name, middle_count in _below(totals, "middle_bytes/").items():
        objective, _, size = name.partition("/")
        middles.setdefault(objective, {})[size] = middle_count
    return {
        **{name: count[name] for name in names},
        "seq_len": seq_len,
        "padding_share": round(1 - count["tokens"] / (count["rows"] * seq_len), 6),
        "bytes_per_token": round(count["text_bytes"] / count["tokens"], 4),
        "bytes_per_token_by_language": {
            name: round(text_bytes[name] / tokens[name], 4) for name in tokens
        },
        "tokens_by_language": tokens,
        **groups,
        "middle_bytes": middles,
    }


def _below(totals: Mapping[str, int], prefix: str) -> dict[str, int]:
    found = {name.removeprefix(prefix): n for name, n in totals.items() if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
