"""The evaluation step: holes are cut by the driver and scored by Ray Data tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from treespan.jobs.evaluate.config import EvaluateConfig
from treespan.jobs.evaluate.holes import HeldoutFile, Hole, holes_of
from treespan.jobs.evaluate.scores import SCORED, score_table
from treespan.jobs.evaluate.scoring import (
    answer,
    is_exact,
    model_losses,
    unigram,
    unigram_losses,
)
from treespan.jobs.tokenize.renderer import load_renderer
from treespan.model.checkpoint import load_checkpoint
from treespan.model.fim_format import FimRenderer
from treespan.model.transformer import Transformer, init_weights
from treespan.platform.draws import hash64
from treespan.platform.errors import UserError
from treespan.platform.partitions import Receipt, map_partitions, map_rows
from treespan.platform.schemas import batches
from treespan.platform.steps import Context, Output, Result, Step
from treespan.platform.store import Store

_HOLES_PER_TASK = 8


def make_step(config: EvaluateConfig, files_from: str = "curate") -> Step:
    """``holes.arrow``: every hole in held-out files of ``files_from``, its losses, and an answer."""
    return Step(
        name="evaluate",
        version=2,
        params=config.to_dict(),
        inputs=(files_from, "sample", "tokenize", "pack", "train"),
        run=lambda context: _run(context, config, files_from),
    )


def _run(context: Context, config: EvaluateConfig, files_from: str) -> Result:
    inputs = context.inputs
    renderer = load_renderer(inputs["tokenize"])
    files = list(_heldout_files(context.store, inputs[files_from], inputs["sample"], config))
    if not files:
        raise UserError(
            "the held-out repositories have no file.", "Raise sample.heldout_share or add sources."
        )
    context_tokens = config.context_tokens or int(inputs["pack"].counts["seq_len"])
    holes = [
        hole
        for file in files
        for hole in holes_of(file, renderer, config.seed, context_tokens, config.max_middle_bytes)
    ]
    token_counts = _token_counts(context, renderer.tokenizer.vocab_size)
    scored = _score(context, inputs["train"], unigram(token_counts), holes)
    entry = context.store.write_table(
        f"{context.folder}/holes.arrow", SCORED, batches(SCORED, scored)
    )
    examples = [row for row in scored if row["objective"] == "sfim"][: config.shown]
    counts = {
        "files": len(files),
        "repositories": sorted({file.repo for file in files}),
        "spans": len(holes),
        "scores": score_table(scored),
        "completions": [
            {name: row[name] for name in ("path", "prefix_tail", "truth", "answer", "suffix_head")}
            for row in examples
        ],
    }
    return Result([entry], counts)


def _heldout_files(
    store: Store, corpus: Output, sample: Output, config: EvaluateConfig
) -> Iterator[HeldoutFile]:
    """A draw of held-out files, in the order of their draws."""
    places: list[tuple[int, str, int]] = []
    parts = corpus.files("files")
    for number, part in enumerate(sample.files("heldout")):
        for file_ids in store.read_table(part, ["file_ids"])["file_ids"].to_pylist():
            places += [(hash64(config.seed, "heldout-file", f), f, number) for f in file_ids]
    wanted = sorted(places)[: config.files]
    found: dict[str, HeldoutFile] = {}
    for number in sorted({part for _, _, part in wanted}):
        table = store.read_table(parts[number], ["file_id", "repo", "path", "language", "content"])
        ids = pa.array([file_id for _, file_id, part in wanted if part == number])
        for row in table.filter(pc.is_in(table["file_id"], value_set=ids)).to_pylist():
            found[row["file_id"]] = HeldoutFile(*row.values())
    return (found[file_id] for _, file_id, _ in wanted)


def _token_counts(context: Context, vocab_size: int) -> NDArray[np.int64]:
    """How often each token is a target in the first packed epoch: int64 [vocab]."""
    store = context.store
    parts = context.inputs["pack"].files("shards/epoch-00")

    def count(partition: int) -> Receipt:
        counts = np.zeros(vocab_size, np.int64)
        with store.open_table(parts[partition]) as reader:
            for index in range(reader.num_record_batches):
                batch = reader.get_batch(index)
                tokens = batch["tokens"].flatten().to_numpy()
                targets = batch["loss_mask"].flatten().to_numpy().astype(bool)
                counts += np.bincount(tokens[targets], minlength=vocab_size)
        used = np.flatnonzero(counts)
        return Receipt([], {"ids": used.tolist(), "counts": counts[used].tolist()})

    total = np.zeros(vocab_size, np.int64)
    for receipt in map_partitions(context, "unigram", count, len(parts)):
        total[receipt.counts["ids"]] += receipt.counts["counts"]
    return total


def _score(
    context: Context,
    trained: Output,
    log_likelihoods: NDArray[np.float64],
    holes: Sequence[Hole],
) -> list[dict[str, Any]]:
    store, folder = context.store, trained.folder
    has_start = bool(trained.files("start"))
    items = [{"index": index, **asdict(hole)} for index, hole in enumerate(holes)]

    def score(row: dict[str, Any]) -> dict[str, Any]:
        return _score_hole(_load_models(store.uri, folder, has_start), log_likelihoods, row)

    scored: dict[int, dict[str, Any]] = {}
    with context.progress.bar("evaluate", len(items)) as bar:
        for row in map_rows(items, score, items_per_task=_HOLES_PER_TASK):
            scored[row.pop("index")] = row
            bar.advance()
    return [scored[index] for index in range(len(items))]


@dataclass(frozen=True)
class _Models:
    """The trained model, and what training started from: fresh weights, or an open model."""

    trained: Transformer
    untrained: Transformer
    renderer: FimRenderer


@lru_cache(maxsize=1)
def _load_models(store_uri: str, folder: str, has_start: bool) -> _Models:
    """Kept by the worker process, so that of its many small tasks only the first one loads."""
    torch.set_num_threads(1)
    store = Store(store_uri)
    with store.local_folder(f"{folder}/checkpoint") as path:
        checkpoint = load_checkpoint(path, dtype=torch.float32)
    if has_start:
        with store.local_folder(f"{folder}/start") as path:
            untrained = load_checkpoint(path, dtype=torch.float32).model
    else:
        untrained = Transformer(checkpoint.config).eval()
        init_weights(untrained, checkpoint.provenance["train"]["seed"])
    renderer = FimRenderer(checkpoint.fim_format, checkpoint.tokenizer)
    return _Models(checkpoint.model, untrained, renderer)


def _score_hole(
    models: _Models, log_likelihoods: NDArray[np.float64], row: dict[str, Any]
) -> dict[str, Any]:
    index = row.pop("index")
    hole = Hole(**{**row, "prompt": list(row["prompt"]), "middle": list(row["middle"])})
    losses = {
        "trained": model_losses(models.trained, models.renderer, hole),
        "untrained": model_losses(models.untrained, models.renderer, hole),
        "unigram": unigram_losses(log_likelihoods, models.renderer.end_of_middle, hole),
    }
    asked = hole.objective != "ntp"
    answered = answer(models.trained, models.renderer, hole) if asked else ""
    return {
        "index": index,
        **{
            name: getattr(hole, name)
            for name in ("file_id", "repo", "path", "language", "objective", "node_type")
        },
        "middle_bytes": len(hole.middle_text.encode()),
        **{f"{name}_middle_nats": found.middle for name, found in losses.items()},
        **{f"{name}_end_nats": found.end for name, found in losses.items()},
        "exact": asked and is_exact(answered, hole.middle_text),
        "truth": hole.middle_text if asked else "",
        "answer": answered,
        "prefix_tail": hole.prefix_tail,
        "suffix_head": hole.suffix_head,
    }
