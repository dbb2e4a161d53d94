"""The tables of ``treespan show`` on what packing made: objectives, holes, rows and tokens.

Runs of earlier versions counted less; what is not there is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from treespan.platform.bars import bar, columns
from treespan.platform.length_histogram import (
    Histogram,
    buckets_of,
    least_of,
    median_of,
    shares_of,
)

_BAR = 24
"""Characters of the longest bar."""
_NODES, _LANGUAGES = 15, 20
_UNIFORM = "uniform"
"""What the holes are called that structured objectives would cut if each node were as likely."""
_FILLS = ((99, 101), (95, 99), (90, 95), (75, 90), (50, 75), (0, 50))
"""Ranges of a row's fill in percent: [from, to). Ours: finer where good rows are."""


def pack_tables(counts: Mapping[str, Any]) -> Iterator[Table]:
    """What ``counts`` of a packing step have to show."""
    yield _objectives(counts)
    if counts.get("middle_bytes"):
        yield _lengths(counts["middle_bytes"], counts.get("middle_bytes_uniform", {}))
    if counts.get("segments_by_node"):
        uniform = counts.get("segments_by_node_uniform", {})
        nodes = counts["segments_by_node"]
        yield _ranking("node types masked", "node type", nodes, _NODES, uniform)
    if counts.get("segments_by_kind"):
        yield _ranking("kinds of spans masked", "kind", counts["segments_by_kind"], _NODES)
    if counts.get("row_fill"):
        yield _fill(counts)
    if counts.get("bytes_per_token_by_language"):
        yield _languages(counts)
    if counts.get("fallbacks"):
        yield _fallbacks(counts)


def _objectives(counts: Mapping[str, Any]) -> Table:
    table = _table("pack: what is learnt", ("objective",), ("segments", "share", "tokens", "share"))
    by_segments, by_tokens = counts["segments_by_objective"], counts["tokens_by_objective"]
    for name, segments in by_segments.items():
        tokens = by_tokens.get(name, 0)
        table.add_row(
            name,
            f"{segments:,}",
            f"{segments / counts['segments']:.1%}",
            f"{tokens:,}",
            f"{tokens / counts['tokens']:.1%}",
        )
    said = [f"{counts['bytes_per_token']:.2f} bytes per token"]
    said.append(f"{counts['padding_share']:.2%} padding in {counts['rows']:,} rows")
    if "target_tokens" in counts:
        said.append(f"{counts['target_tokens'] / counts['tokens']:.1%} of the tokens are targets")
    if counts.get("heldout_rows"):
        said.append(f"{counts['heldout_rows']:,} further rows of held-out repositories")
    table.caption = ", ".join(said)
    table.caption_justify = "left"
    return table


def _lengths(middles: Mapping[str, Histogram], uniform: Histogram) -> Table:
    shown = {**middles, _UNIFORM: uniform} if uniform else middles
    buckets = buckets_of(shown.values())
    table = _table("pack: bytes of a middle", ("objective",), ("middles", "median"))
    table.add_column(_axis(buckets))
    for name, histogram in shown.items():
        if name == _UNIFORM:
            table.add_section()
        heights = columns(shares_of(histogram, buckets))
        wide = "".join(height * 2 for height in heights)
        counted = f"{sum(histogram.values()):,}"
        table.add_row(
            name, "" if name == _UNIFORM else counted, f"{median_of(histogram):,.0f}", wide
        )
    return table


def _axis(buckets: range) -> str:
    """What the columns stand for: the first and the last, and every tenth power of two."""
    marks = {buckets[0], buckets[-1], *(bucket for bucket in buckets if bucket % 10 == 0)}
    line = ""
    for place, bucket in enumerate(buckets):
        if bucket in marks and (not line or len(line) < 2 * place):
            line = line.ljust(2 * place) + _short(least_of(bucket))
    return line


def _short(length: int) -> str:
    """``4096`` as ``4k``."""
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if length >= size:
            return f"{length // size}{unit}"
    return str(length)


def _ranking(
    title: str,
    heading: str,
    counted: Mapping[str, int],
    limit: int,
    uniform: Mapping[str, int] | None = None,
) -> Table:
    """The most frequent ``limit``, with bars, and the rest as one; beside them the shares that they
    would have in ``uniform``."""
    beside = ("uniform",) if uniform else ()
    table = _table(f"pack: {title}", (heading,), ("segments", "share", *beside))
    table.add_column("")
    total, most = sum(counted.values()), max(counted.values())

    def shares(names: Sequence[str]) -> list[str]:
        of_all = [(counted, total), *([(uniform, sum(uniform.values()))] if uniform else [])]
        return [f"{sum(c.get(name, 0) for name in names) / whole:.1%}" for c, whole in of_all]

    ranked = sorted(counted, key=lambda name: (-counted[name], name))
    for name in ranked[:limit]:
        row = (name, f"{counted[name]:,}", *shares([name]), bar(counted[name] / most, _BAR))
        table.add_row(*row)
    if others := ranked[limit:]:
        rest = sum(counted[name] for name in others)
        table.add_row(f"{len(others)} others", f"{rest:,}", *shares(others), "")
    return table


def _fill(counts: Mapping[str, Any]) -> Table:
    table = _table("pack: how full rows are", ("of a row",), ("rows", "share"))
    table.add_column("")
    rows = sum(counts["row_fill"].values())
    for least, end in _FILLS:
        found = sum(n for fill, n in counts["row_fill"].items() if least <= int(fill) < end)
        if found:
            name = f"{least} % or more" if end > 100 else f"{least} to {end} %"
            table.add_row(name, f"{found:,}", f"{found / rows:.1%}", bar(found / rows, _BAR))
    return table


def _languages(counts: Mapping[str, Any]) -> Table:
    """Those with most tokens, as far as tokens were counted by language."""
    sizes, tokens = counts["bytes_per_token_by_language"], counts.get("tokens_by_language", {})
    table = _table("pack: bytes per token", ("language",), ("bytes per token",))
    if tokens:
        table.add_column("tokens", justify="right")
    table.add_column("")
    ranked = sorted(sizes, key=lambda name: (-tokens.get(name, 0), name))
    most = max(sizes.values())
    for name in ranked[:_LANGUAGES]:
        cells = [f"{tokens.get(name, 0):,}"] if tokens else []
        table.add_row(name, f"{sizes[name]:.2f}", *cells, bar(sizes[name] / most, _BAR))
    if len(ranked) > _LANGUAGES:
        table.caption = f"and {len(ranked) - _LANGUAGES} other languages"
        table.caption_justify = "left"
    return table


def _fallbacks(counts: Mapping[str, Any]) -> Table:
    table = _table(
        "pack: drawn objectives that could not be applied", ("why",), ("segments", "share")
    )
    for why, count in counts["fallbacks"].items():
        table.add_row(why, f"{count:,}", f"{count / counts['segments']:.2%}")
    return table


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in texts:
        table.add_column(heading)
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table
