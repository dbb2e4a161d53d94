"""The share of resolved imports as a picture."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt

from treespan.jobs.graph.build import ImportCounts

_STYLE: Any = {
    "svg.hashsalt": "treespan",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def share_picture(total: Mapping[str, ImportCounts]) -> str:
    """SVG: a bar per language, the number of its imports beside it. Equal data gives equal bytes."""
    shown = [
        (language, counts)
        for language, counts in sorted(total.items(), key=lambda item: item[1].in_repository)
        if counts.in_repository
    ]
    shares = [counts.resolved / counts.in_repository for _, counts in shown]
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 0.3 * len(shown) + 0.9))
        bars = axes.barh(range(len(shown)), shares, color="#0b7285")
        labels = [
            f"{share:.1%} of {counts.in_repository:,}"
            for share, (_, counts) in zip(shares, shown, strict=True)
        ]
        axes.bar_label(bars, labels, padding=4, fontsize=9)
        axes.axvline(0.95, color="#e8a33d", linewidth=1, label="0.95")
        axes.set_yticks(range(len(shown)), [language for language, _ in shown])
        axes.set_xlim(0, 1.3)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_xlabel("imports of the repository's own files that are resolved")
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        target = io.StringIO()
        figure.savefig(target, format="svg", bbox_inches="tight", metadata={"Date": None})
        plt.close(figure)
    return target.getvalue()
