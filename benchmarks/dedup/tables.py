"""The results of the comparison as tables, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Rows = Sequence[Sequence[str]]

TOOL_COLUMNS = (
    "tool", "CPU s", "start", "x", "x less start", "wall s", "GB", "recall", "precision", "resolved",
    "removed well", "remark",
)  # fmt: skip
KERNEL_COLUMNS = ("text to signature", "files/s", "times datasketch", "bias", "sd")


def tool_rows(tools: Sequence[Mapping[str, Any]]) -> Rows:
    """A row for each tool.

    ``start``: processor seconds for ten files; ``x``: times Treespan's processor seconds, and the
    same with the starts left out on both sides; ``removed well``: see ``Scores.rightly_removed``.
    """
    ours = next((tool for tool in tools if tool["name"] == "treespan"), None)
    rows = []
    for tool in tools:
        if "recall" not in tool:
            rows.append([tool["name"], *[""] * (len(TOOL_COLUMNS) - 2), tool["problem"]])
            continue
        rows.append(
            [
                tool["name"],
                f"{tool['cpu_s']:.1f}",
                f"{tool['start_cpu_s']:.1f}",
                ratio(tool, ours, cpu_s),
                ratio(tool, ours, work),
                f"{tool['wall_s']:.1f}",
                f"{tool['peak_bytes'] / 1e9:.2f}",
                *(share(tool[name]) for name in ("recall", "precision")),
                *(share(tool[name]) for name in ("resolved", "rightly_removed")),
                tool["remark"],
            ]
        )
    return rows


def cpu_s(tool: Mapping[str, Any]) -> float:
    """Processor seconds."""
    return float(tool["cpu_s"])


def work(tool: Mapping[str, Any]) -> float:
    """Processor seconds without the start; below 0 where starts vary by more than the work."""
    return cpu_s(tool) - float(tool["start_cpu_s"])


def ratio(
    tool: Mapping[str, Any],
    ours: Mapping[str, Any] | None,
    measure: Callable[[Mapping[str, Any]], float],
) -> str:
    """How many times ``ours`` a tool needs; empty where that cannot be told."""
    if ours is None or "recall" not in ours or min(measure(tool), measure(ours)) <= 0:
        return ""
    return f"{measure(tool) / measure(ours):.1f}"


def kernel_rows(kernel: Mapping[str, Any]) -> Rows:
    """A row for each way from text to signature."""
    return [
        [
            way["name"],
            f"{way['files_per_s']:,.0f}",
            f"{way['ratio']:.1f}",
            f"{way['bias']:+.4f}",
            f"{way['sd']:.4f}",
        ]
        for way in kernel.get("ways", [])
    ]


def share(value: float | None) -> str:
    """A share to four places; 1 only if nothing is missing."""
    if value is None:
        return ""
    return "1" if value == 1 else f"{min(value, 0.9999):.4f}"


def corpus_line(corpus: Mapping[str, Any]) -> str:
    """What the corpus is."""
    return (
        f"{corpus['files']:,} files, {corpus['bytes'] / 1e6:.1f} MB, {corpus['clones']:,} clones; "
        f"{corpus['similar_pairs']:,} similar pairs, of which Python's \\w+ does not see "
        f"{corpus['similar_pairs_only_by_byte_words']:,} and sees "
        f"{corpus['similar_pairs_only_by_str_words']:,} others"
    )


def kernel_line(kernel: Mapping[str, Any]) -> str:
    """What the kernels were compared on."""
    if "problem" in kernel:
        return f"text to signature: {kernel['problem']}"
    return (
        f"{kernel['files']:,} files, {kernel['bytes'] / 1e6:.1f} MB, one core; estimates of "
        f"{kernel['pairs']:,} pairs; {kernel['equal_to_datasketch']:.2%} of the values are "
        "datasketch's for the same hashes"
    )


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables."""
    console.print(corpus_line(result["corpus"]))
    rows = tool_rows(result["tools"])
    console.print(rich_table(TOOL_COLUMNS[:-1], [row[:-1] for row in rows]))
    for row in rows:
        console.print(f"{row[0]}: {row[-1]}")
    if "kernel" in result:
        console.print(kernel_line(result["kernel"]))
        console.print(rich_table(KERNEL_COLUMNS, kernel_rows(result["kernel"])))


def rich_table(columns: Sequence[str], rows: Rows) -> Table:
    """A table for the terminal."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    return table


def markdown(result: Mapping[str, Any]) -> str:
    """The same tables for a page."""
    parts = [corpus_line(result["corpus"]), grid(TOOL_COLUMNS, tool_rows(result["tools"]))]
    if "kernel" in result:
        kernel = result["kernel"]
        parts += [kernel_line(kernel), grid(KERNEL_COLUMNS, kernel_rows(kernel))]
    return "\n\n".join(parts) + "\n"


def grid(columns: Sequence[str], rows: Rows) -> str:
    """A Markdown table, numbers to the right."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    if columns[-1] == "remark":
        rule[-1] = "---"
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))
