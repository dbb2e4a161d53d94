"""From the last training state to what the step publishes: a checkpoint, tables and counts.

All is made from the store by the driver, so training need not keep workers for it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.fragments import WEIGHT
from treespan.jobs.train.losses_table import LOSSES, TIMINGS, loss_counts, loss_rows
from treespan.jobs.train.metrics.throughput import RunFacts, measures
from treespan.jobs.train.ray_worker import FACTS, TIMING_TABLES
from treespan.jobs.train.run_state import RunState
from treespan.jobs.train.start import StartingPoint
from treespan.jobs.train.step_record import StepTiming
from treespan.jobs.train.train_state import EMA, SavedState, TrainStates
from treespan.model.checkpoint import expected_shapes, save_checkpoint
from treespan.model.fim_format import FimRenderer
from treespan.model.lora import merged_state
from treespan.model.peft_adapter import save_adapters
from treespan.platform.schemas import batches
from treespan.platform.steps import Context, Result
from treespan.platform.store import FileEntry


def publish(
    context: Context,
    config: TrainConfig,
    start: StartingPoint,
    renderer: FimRenderer,
    states: TrainStates,
    final: SavedState,
) -> Result:
    """``checkpoint/``, the model that was started from as ``start/`` if there was one, adapters as
    ``adapters/`` in PEFT's format, ``losses.arrow`` and ``timings.arrow``."""
    run = states.read_run(final)
    counts = _counts(context, config, start, run)
    provenance = {"train": config.decisive(), "counts": counts}
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    files: list[FileEntry] = []

    def save(folder: str, weights: Iterable[tuple[str, Tensor]], about: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="treespan-export-") as temporary:
            local = Path(temporary)
            cast = ((name, weight.to(dtype)) for name, weight in weights)
            save_checkpoint(
                local, start.model_config, cast, renderer.tokenizer, renderer.format, about
            )
            files.extend(_upload(context, local, folder))

    quantity = EMA if config.ema_decay is not None and run.updates else WEIGHT
    if config.lora is None:
        save("checkpoint", _trained(states, final, start, quantity), provenance)
    else:
        adapters = config.lora.adapters()
        # Adapters are small; the weights that they belong to are those of the start.
        shapes = {name: (size,) for name, size in _sizes(final).items()}
        flat = dict(states.whole(final, shapes, quantity))
        state = dict(start.weights())
        state |= _shaped(flat, state, adapters.rank)
        save("checkpoint", merged_state(state, adapters), provenance)
        with tempfile.TemporaryDirectory(prefix="treespan-export-") as temporary:
            save_adapters(Path(temporary), state, adapters, base=str(config.start_from))
            files.extend(_upload(context, Path(temporary), "adapters"))
    if start.path is not None:
        save("start", start.weights(), {"start_from": start.path})
    store, folder = context.store, context.folder
    rows = loss_rows(run.history, run.skips)
    files.append(store.write_table(f"{folder}/losses.arrow", LOSSES, batches(LOSSES, rows)))
    timings = list(_timings(context))
    entry = store.write_table(f"{folder}/timings.arrow", TIMINGS, batches(TIMINGS, timings))
    measured = {
        **_measures(context, timings, start, config, run),
        "placements": run.placements,
        "finished_at": int(time.time()),
    }
    return Result(files, counts, measured, varying_files=[entry])


def _trained(
    states: TrainStates, final: SavedState, start: StartingPoint, quantity: str
) -> Iterator[tuple[str, Tensor]]:
    """All weights of a run that trains all of them."""
    prefix = "transformer."
    shapes = {
        f"{prefix}{name}": shape for name, shape in expected_shapes(start.model_config).items()
    }
    for name, weight in states.whole(final, shapes, quantity):
        yield name.removeprefix(prefix), weight


def _sizes(final: SavedState) -> dict[str, int]:
    """Elements of each parameter of a state."""
    sizes: dict[str, int] = {}
    for receipt in final.receipts:
        for fragment in receipt.fragments:
            end = fragment.start + fragment.length
            sizes[fragment.name] = max(sizes.get(fragment.name, 0), end)
    return sizes


def _shaped(flat: dict[str, Tensor], weights: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Flat adapters and embeddings in their shapes, by the names of ``Transformer``."""
    shaped: dict[str, Tensor] = {}
    for name, values in flat.items():
        own = name.removeprefix("transformer.")
        last = own.rpartition(".")[2]
        if last == "lora_a":
            shaped[own] = values.view(rank, -1)
        elif last == "lora_b":
            shaped[own] = values.view(-1, rank)
        elif own in weights:
            shaped[own] = values.view_as(weights[own])
    return shaped


def _upload(context: Context, local: Path, folder: str) -> list[FileEntry]:
    return [
        context.store.copy_in(f"{context.folder}/{folder}/{path.name}", path)
        for path in sorted(local.iterdir())
    ]


def _counts(
    context: Context, config: TrainConfig, start: StartingPoint, run: RunState
) -> dict[str, Any]:
    rows = min(config.validation.rows, context.inputs["pack"].counts["heldout_rows"])
    return {
        **loss_counts(run.history, run.skips, rows, run.final_validation),
        "parameters": start.model_config.num_parameters,
    }


def _timings(context: Context) -> Iterator[dict[str, Any]]:
    store = context.store
    for path in store.list_files(f"{context.work}/{TIMING_TABLES}"):
        table: pa.Table = store.read_table(path)
        yield from table.to_pylist()


def _measures(
    context: Context,
    rows: list[dict[str, Any]],
    start: StartingPoint,
    config: TrainConfig,
    run: RunState,
) -> dict[str, Any]:
    """Of the steps since workers were last placed in another way."""
    path = f"{context.work}/{FACTS}"
    facts = context.store.read_json(path) if context.store.exists(path) else {}
    placement = run.placements[-1]
    timings = [
        StepTiming(**{name: value for name, value in row.items() if name != "step"})
        for row in rows
        # The first step of a process loads libraries and allocates.
        if row["step"] > placement["from_step"]
    ]
    return measures(
        timings,
        RunFacts(
            model_config=start.model_config,
            seq_len=int(context.inputs["pack"].counts["seq_len"]),
            global_batch=config.global_batch,
            total_steps=len(run.history),
            world=placement["workers"],
            device=facts.get("device", ""),
            peak_flops=facts.get("peak_flops"),
            run_name=context.folder,
        ),
    )
