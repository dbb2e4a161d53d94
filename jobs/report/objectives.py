"""The sections on packing: what is learnt, which holes were cut, how rows came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treespan.jobs.report.example_segments import example_segments
from treespan.jobs.report.page import foldable, paragraph, section, table
from treespan.jobs.report.plots_pack import fill_plot, length_plot, ranking_plot, share_bars
from treespan.platform.steps import Output

_NODES, _LANGUAGES = 20, 16


def pack_sections(pack: Output) -> list[str]:
    """What ``pack`` made. Counts that an earlier version did not make are left out."""
    counts = pack.counts
    sections = [_objectives(counts)]
    if counts["segments_by_node"] or counts.get("middle_bytes"):
        sections.append(_holes(counts))
    examples = example_segments(pack)
    if examples:
        said = paragraph("Structured holes, drawn by a hash. More: treespan inspect.")
        sections.append(section("Holes to look at", said, *examples))
    sections.append(_rows(counts))
    return sections


def _objectives(counts: Mapping[str, Any]) -> str:
    segments, tokens = counts["segments_by_objective"], counts["tokens_by_objective"]
    shares = {
        "of the segments": [segments[name] / counts["segments"] for name in segments],
        "of the tokens": [tokens.get(name, 0) / counts["tokens"] for name in segments],
    }
    parts = [
        share_bars(list(segments), shares),
        table(
            ("objective", "segments", "tokens"),
            [(name, count, tokens.get(name, 0)) for name, count in segments.items()],
        ),
    ]
    if counts["fallbacks"]:
        parts += [
            paragraph(
                "Where a drawn objective could not be applied, a simpler one took its place:"
            ),
            table(("why", "segments"), list(counts["fallbacks"].items())),
        ]
    return section("What is learnt", *parts)


def _holes(counts: Mapping[str, Any]) -> str:
    parts = []
    if counts.get("middle_bytes"):
        uniform = counts.get("middle_bytes_uniform", {})
        parts.append(length_plot(counts["middle_bytes"], uniform))
        said = (
            " The area is of the structured holes that there would be if each node were as likely "
            "as any other."
            if uniform
            else ""
        )
        parts.append(paragraph(f"How long the holes are, by objective.{said}"))
    for name, what in (("segments_by_node", "node type"), ("segments_by_kind", "kind")):
        ranked = _ranked(counts.get(name, {}))
        if ranked:
            total = sum(count for _, count in ranked)
            shown = [node for node, _ in ranked[:_NODES]]
            shares = {"drawn": [count / total for _, count in ranked[:_NODES]]}
            uniform = counts.get(f"{name}_uniform", {})
            if uniform:
                drawn = sum(uniform.values())
                shares["drawn uniformly"] = [uniform.get(node, 0) / drawn for node in shown]
            parts.append(share_bars(shown, shares))
            parts.append(paragraph(f"Segments with a hole, by {what}."))
        if len(ranked) > _NODES:
            everything = table((what, "segments"), ranked)
            parts.append(foldable(f"All {len(ranked)} {what}s", everything))
    return section("Which holes were cut", *parts)


def _rows(counts: Mapping[str, Any]) -> str:
    said = (
        f"{counts['rows']:,} rows of {counts['seq_len']:,} tokens, {counts['padding_share']:.2%} "
        f"padding, {counts['bytes_per_token']:.2f} bytes of text per token."
    )
    if counts.get("heldout_rows"):
        said += f" Beside them, {counts['heldout_rows']:,} rows of held-out repositories."
    parts = [paragraph(said)]
    if counts.get("row_fill"):
        parts.append(fill_plot(counts["row_fill"]))
    sizes: Mapping[str, float] = counts.get("bytes_per_token_by_language", {})
    if sizes:
        tokens: Mapping[str, int] = counts.get("tokens_by_language", {})
        names = sorted(sizes, key=lambda name: (-tokens.get(name, 0), name))
        bars = [(name, sizes[name]) for name in names[:_LANGUAGES]]
        parts.append(ranking_plot(bars, "bytes per token", "{:.2f}"))
        if len(names) > _LANGUAGES:
            everything = table(
                ("language", "bytes per token", "tokens"),
                [(name, sizes[name], tokens.get(name)) for name in names],
            )
            parts.append(foldable(f"All {len(names)} languages", everything))
    return section("Rows and tokens", *parts)


def _ranked(counted: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))
