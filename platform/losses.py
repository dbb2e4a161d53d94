"""Reading the losses that training leaves: sums over steps of what is told apart in each of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

KINDS = ("objective", "language", "strategy")
"""What losses are told apart by; each has a column ``by_KIND`` of lists of (name, nats, targets)."""

MEAN_STEPS = 20
"""First, last and shown losses are means over so many steps. (Ours: a single step's loss is noise.)"""


def tallied(losses: pa.Table, kind: str) -> pa.Table:
    """Columns row, name, nats and targets: a row for each name in each row of ``losses``.

    Sums that are not finite are left out, as in the final losses of the manifest.
    """
    column = losses[f"by_{kind}"].combine_chunks()
    rows = pc.list_parent_indices(column)
    fields: dict[str, Any] = {
        name: pc.struct_field(column.flatten(), name) for name in ("name", "nats", "targets")
    }
    table = pa.table({"row": rows, **fields})
    return table.filter(pc.is_finite(table["nats"]))


def mean_losses(losses: pa.Table, kind: str) -> dict[str, tuple[int, float]]:
    """Target tokens and mean loss by name, over all rows of ``losses``; most targets first."""
    sums = tallied(losses, kind).group_by("name").aggregate([("nats", "sum"), ("targets", "sum")])
    found = {
        name: (targets, nats / targets)
        for name, nats, targets in zip(
            sums["name"].to_pylist(),
            sums["nats_sum"].to_pylist(),
            sums["targets_sum"].to_pylist(),
            strict=True,
        )
        if targets
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1][0], item[0])))
