"""The pictures of docs/objectives.md, from the files of a run: how long holes are, and of which nodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.pack.corpus import Documents, PackedRun

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.segments import SegmentBuilder
from treespan.jobs.pack.tally import bucket
from treespan.jobs.report.plots_pack import length_plot, share_bars
from treespan.model.nodes import NodeWeight
from treespan.model.objectives import OBJECTIVES, Objective, ObjectiveMix
from treespan.model.span_source import Span

WEIGHTS: tuple[NodeWeight, ...] = ("uniform", "log", "sqrt", "length")
_NODES = 18


def holes(
    run: PackedRun, documents: Documents, objective: Objective, weight: NodeWeight = "sqrt"
) -> list[Span]:
    """The holes of ``objective`` alone in all files that allow it, in rows of the run's length."""
    shares = {name.replace("-", "_"): float(name == objective) for name in OBJECTIVES}
    mix = ObjectiveMix(**shares, node_weight=weight)
    config = PackConfig(seq_len=run.seq_len, objectives=mix)
    builder = SegmentBuilder(config, run.renderer(), 0)
    segments = (s for files in documents for file in files for s in builder.build(file))
    return [s.span for s in segments if s.span is not None and s.objective == objective]


def draw_pictures(run: PackedRun, documents: Documents, folder: Path) -> None:
    """``hole-lengths.svg``, ``node-weights.svg`` and ``node-types.svg`` in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    masking = [name for name in OBJECTIVES if name != "ntp"]
    lengths: dict[str, dict[str, int]] = {
        name: _histogram(holes(run, documents, name)) for name in masking
    }
    (folder / "hole-lengths.svg").write_text(length_plot(lengths, {}))
    by_weight = {weight: holes(run, documents, "sfim", weight) for weight in WEIGHTS}
    drawn: dict[str, dict[str, int]] = {w: _histogram(spans) for w, spans in by_weight.items()}
    (folder / "node-weights.svg").write_text(length_plot(drawn, {}))
    types = {w: Counter(s.node_type for s in by_weight[w]) for w in ("uniform", "sqrt")}
    names = [name for name, _ in types["sqrt"].most_common(_NODES)]
    shares = {
        f"drawn by {weight}": [counted[name] / counted.total() for name in names]
        for weight, counted in types.items()
    }
    (folder / "node-types.svg").write_text(share_bars(names, shares))


def _histogram(spans: list[Span]) -> dict[str, int]:
    return {str(size): n for size, n in Counter(bucket(span.length) for span in spans).items()}
