"""A small training run on drawn rows: what the tests of the loop share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from treespan.jobs.pack.shard_index import INDEX, index_of
from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.loop import Place, Worker
from treespan.jobs.train.rows import TrainingRows
from treespan.jobs.train.shard_reader import open_readers
from treespan.jobs.train.step_record import StepRecord, StepTiming
from treespan.jobs.train.tally import TallyKeys
from treespan.jobs.train.train_state import TrainStates
from treespan.model.config import ModelConfig
from treespan.model.sequence_parallel import sequence_group
from treespan.model.transformer import Transformer, init_weights
from treespan.platform.schemas import batches, shards
from treespan.platform.store import Store

SEQ_LEN, ROWS, VOCAB = 32, 40, 64
MODEL = ModelConfig(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    max_positions=64,
)
KEYS = TallyKeys(["Go", "Python"], ["content", "random"])


def make_row(number: int) -> dict[str, Any]:
    """A row of two documents: one read through, one with a hole."""
    rng = np.random.default_rng(number)
    first = int(rng.integers(8, 20))
    filled = int(rng.integers(first + 6, SEQ_LEN + 1))
    tokens = np.zeros(SEQ_LEN, np.int32)
    tokens[:filled] = np.arange(filled) * (number % 5 + 1) % (VOCAB - 1) + 1
    mask = np.zeros(SEQ_LEN, np.uint8)
    mask[1:first] = 1
    mask[first + 1 : filled] = 1
    second = {"objective": "sfim" if number % 2 else "fim", "middle_start": first + 2}
    language = "Python" if number % 3 else "Go"
    return {
        "tokens": tokens,
        "document_lengths": [first, filled - first],
        "loss_mask": mask,
        "segments": [
            {
                "file_id": "f",
                "start": 0,
                "length": first,
                "objective": "ntp",
                "middle_start": -1,
                "middle_length": 0,
                "language": language,
                "strategy": "content",
            },
            {
                "file_id": "g",
                "start": first,
                "length": filled - first,
                "middle_length": 3,
                "language": language,
                "strategy": "random",
                **second,
            },
        ],
    }


def write_shards(folder: Path) -> None:
    """``shards/`` and ``heldout/`` in a store at ``folder``."""
    store, schema = Store(str(folder)), shards(SEQ_LEN)
    for name, bounds in {"shards": [(0, 25), (25, ROWS)], "heldout": [(ROWS, ROWS + 6)]}.items():
        parts = []
        for number, rows in enumerate(bounds):
            path = f"{name}/epoch-00/part-{number}.arrow"
            drawn = (make_row(row) for row in range(*rows))
            entry = store.write_table(path, schema, batches(schema, drawn, rows_per_batch=7))
            parts.append((path.removeprefix(f"{name}/"), entry.rows or 0))
        store.write_json(f"{name}/{INDEX}", index_of([parts], SEQ_LEN))


def settings(**changes: Any) -> TrainConfig:
    """Settings of a run of 12 steps; ``execution`` and the like are laid over the defaults."""
    values: dict[str, Any] = {
        "steps": 12,
        "global_batch": 12,
        "optimizer": {"learning_rate": 1e-2, "warmup_steps": 2},
        "execution": {"num_workers": 1, "micro_batch": 2, "zero_stage": 1},
        "checkpoints": {"every_steps": 3, "keep": 9},
        "validation": {"rows": 0},
    }
    for key, value in changes.items():
        values[key] = {**values[key], **value} if isinstance(values.get(key), dict) else value
    return TrainConfig.model_validate(values)


class Watch:
    """Hooks that remember."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.timings: list[StepTiming] = []
        self.asks = False

    def after_step(self, record: StepRecord, timing: StepTiming) -> None:
        self.timings.append(timing)

    def say(self, text: str) -> None:
        self.said.append(text)

    def time_to_ask(self) -> bool:
        return self.asks

    def must_save(self) -> bool:
        return True


def start_weights(seed: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    """Fresh weights by the names of the loss model."""
    model = Transformer(MODEL)
    init_weights(model, seed)
    for name, parameter in model.named_parameters():
        yield f"transformer.{name}", parameter.detach()


def make_worker(
    folder: Path,
    config: TrainConfig,
    rank: int = 0,
    world: int = 1,
    *,
    states: str = "states",
    hooks: Watch | None = None,
) -> Worker:
    """A worker that reads the shards in ``folder`` and keeps its states there."""
    store = Store(str(folder))
    shared = config.execution.sequence_parallel
    sequence = sequence_group(shared) if shared > 1 else None
    rows = TrainingRows(
        config,
        SEQ_LEN,
        open_readers(store, "shards"),
        open_readers(store, "heldout")[0],
        rank,
        world,
        sequence,
    )
    return Worker(
        config,
        MODEL,
        Place(rank, world, torch.device("cpu"), sequence),
        rows,
        KEYS,
        TrainStates(store, states),
        start_weights,
        hooks or Watch(),
    )
