"""The tables of ``treespan show`` on training: how losses fell, how fast it was, where it ran.

Runs of earlier versions measured less; what is not there is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from rich.table import Table

from treespan.platform.bars import bar
from treespan.platform.funnel import name_of
from treespan.platform.losses import KINDS, MEAN_STEPS, mean_losses
from treespan.platform.steps import Output
from treespan.platform.summary import in_nats

_PLACES = 7
"""Steps whose losses are shown."""
_SHOWN = 12
"""Languages in the table, those with most target tokens."""
_BAR = 20


def train_tables(output: Output) -> Iterator[Table]:
    """What a step of training has to show."""
    losses = output.store.read_table(f"{output.folder}/losses.arrow")
    yield _curve(losses["loss"].to_pylist())
    if "by_objective" in losses.column_names:
        yield _ends(losses, output.counts)
    yield _course(output.counts, output.manifest["measures"])


def _curve(values: Sequence[float]) -> Table:
    table = Table(title="train: loss in nats per token", title_justify="left")
    last = len(values) - 1
    places = sorted({min(last, round(i * last / (_PLACES - 1))) for i in range(_PLACES)})
    for place in places:
        table.add_column(f"step {place}", justify="right")
    table.add_row(*(f"{values[place]:.3f}" for place in places))
    return table


def _ends(losses: pa.Table, counts: Mapping[str, Any]) -> Table:
    table = Table(title="train: where the loss fell", title_justify="left")
    for heading in ("by", "name"):
        table.add_column(heading)
    for heading in ("targets", f"first {MEAN_STEPS}", f"last {MEAN_STEPS}"):
        table.add_column(heading, justify="right")
    table.add_column("last / first")
    for kind in KINDS:
        final = counts[f"final_loss_by_{kind}"]
        early = mean_losses(losses.slice(0, MEAN_STEPS), kind)
        everywhere = mean_losses(losses, kind)
        for place, (name, (targets, _)) in enumerate(list(everywhere.items())[:_SHOWN]):
            first = early[name][1] if name in early else None
            table.add_row(
                "" if place else kind,
                name_of(name),
                f"{targets:,}",
                "" if first is None else f"{first:.2f}",
                in_nats(final[name]) if name in final else "",
                bar(final[name] / first, _BAR) if first and final.get(name) else "",
            )
        if len(everywhere) > _SHOWN:
            table.add_row("", f"and {len(everywhere) - _SHOWN} others", "", "", "", "")
        table.add_section()
    return table


def _course(counts: Mapping[str, Any], measures: Mapping[str, Any]) -> Table:
    table = Table(title="train: how it went", title_justify="left", show_header=False)
    table.add_column()
    table.add_column()
    if counts.get("validation"):
        table.add_row("held-out rows", validation_in_words(counts["validation"]))
    for name, said in speed_in_words(measures):
        table.add_row(name, said)
    if "skipped_updates" in counts:
        table.add_row("updates left out", f"{counts['skipped_updates']:,}")
        table.add_row("roll-backs", f"{counts['rollbacks']:,}")
    for place, placement in enumerate(measures.get("placements") or ()):
        table.add_row("" if place else "ran on", placement_in_words(placement))
    return table


def validation_in_words(validation: Mapping[str, Any]) -> str:
    """``loss 8.31 at first, 3.92 at last, 3.90 at best (step 1080); 64 rows``."""
    return (
        f"loss {in_nats(validation['first'])} at first, {in_nats(validation['last'])} at last, "
        f"{in_nats(validation['best'])} at best (step {validation['best_step']:,}); "
        f"{validation['rows']:,} rows"
    )


def placement_in_words(placement: Mapping[str, Any]) -> str:
    """``from step 0: 2 workers, ZeRO stage 2``; further keys are told as they are."""
    workers = placement["workers"]
    parts = [f"{workers:,} worker{'' if workers == 1 else 's'}"]
    for key, value in placement.items():
        if key not in ("from_step", "workers") and value not in (None, ""):
            name = "ZeRO stage" if key == "zero_stage" else key.replace("_", " ")
            parts.append(f"{name} {value}")
    return f"from step {placement['from_step']:,}: {', '.join(parts)}"


def speed_in_words(measures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was measured of the speed, by name; what is not there or not known is left out."""
    shown = {
        "tokens_per_second": ("speed", "{:,.0f} tokens per second"),
        "mfu": ("model FLOPs utilisation", "{:.1%} of the peak"),
        "data_wait_share": ("waited for rows", "{:.2%} of the time"),
        "checkpoint_stall_share": ("stood still for training states", "{:.2%} of the time"),
    }
    for key, (name, form) in shown.items():
        if measures.get(key) is not None:
            yield name, form.format(measures[key])
    if measures.get("peak_memory_bytes"):
        yield "peak memory of a worker", f"{measures['peak_memory_bytes'] / 1e9:,.2f} GB"
