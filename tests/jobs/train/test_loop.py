"""The training loop on one worker, without Ray: exact resume, micro batches, loss by objective."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from treespan.jobs.pack.shard_index import ShardIndex, index_of
from treespan.jobs.train.config import OptimizerConfig, TrainConfig
from treespan.jobs.train.loop import Worker
from treespan.jobs.train.row_order import RowOrder
from treespan.jobs.train.shard_reader import ShardReader, batch_of
from treespan.model.config import ModelConfig
from treespan.platform.schemas import batches, shards
from treespan.platform.store import Store

SEQ_LEN, ROWS, VOCAB = 32, 40, 64
MODEL = ModelConfig(
    vocab_size=VOCAB,
    hidden_size=32,
    intermediate_size=64,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    max_positions=64,
)
OPTIMIZER = OptimizerConfig(learning_rate=1e-2, warmup_steps=2)


pytestmark = pytest.mark.usefixtures("one_process_group")


def make_row(number: int) -> dict[str, object]:
    rng = np.random.default_rng(number)
    first = int(rng.integers(8, 20))
    filled = int(rng.integers(first + 4, SEQ_LEN + 1))
    tokens = np.zeros(SEQ_LEN, np.int32)
    tokens[:filled] = np.arange(filled) * (number % 5 + 1) % (VOCAB - 1) + 1
    mask = np.zeros(SEQ_LEN, np.uint8)
    mask[1:first] = 1
    mask[first + 1 : filled] = 1
    kinds = [("ntp", 0, first), ("sfim" if number % 2 else "fim", first, filled - first)]
    return {
        "tokens": tokens,
        "document_lengths": [first, filled - first],
        "loss_mask": mask,
        "segments": [
            {"file_id": "f", "start": start, "length": length, "objective": kind}
            for kind, start, length in kinds
        ],
    }


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ShardReader:
    store, schema = Store(str(tmp_path_factory.mktemp("shards"))), shards(SEQ_LEN)
    parts = []
    for number, bounds in enumerate([(0, 25), (25, ROWS)]):
        rows = (make_row(i) for i in range(*bounds))
        name = f"s/part-{number}.arrow"
        entry = store.write_table(name, schema, batches(schema, rows, rows_per_batch=7))
        parts.append((entry.path.removeprefix("s/"), entry.rows))
    return ShardReader(store, ShardIndex(index_of([parts], SEQ_LEN), "s"), 0)


@pytest.fixture
def worker(reader: ShardReader) -> Callable[..., Worker]:
    def make(**settings: object) -> Worker:
        values = {"steps": 12, "global_batch": 4, "micro_batch": 4, "num_workers": 1}
        config = TrainConfig.model_validate(
            {**values, "optimizer": OPTIMIZER.to_dict(), "zero_stage": 1, **settings}
        )
        order = RowOrder(config.seed, [reader.rows], config.global_batch)
        return Worker(config, MODEL, order, [reader], rank=0, world=1)

    return make


def nothing(_: Worker) -> None:
    """No work after a step."""


def test_rows_are_found_in_any_order(reader: ShardReader) -> None:
    assert reader.rows == ROWS
    for index in (39, 0, 24, 25, 7, 31):
        row, wanted = reader.row(index), make_row(index)
        assert (row["tokens"] == wanted["tokens"]).all()
        assert (row["loss_mask"] == wanted["loss_mask"]).all()
        assert row["document_lengths"] == wanted["document_lengths"]


def test_a_batch_knows_the_objective_of_every_token(reader: ShardReader) -> None:
    batch = batch_of([reader.row(1), reader.row(2)])
    first = batch.document_lengths[0][0]
    assert set(batch.objectives[0, :first].tolist()) == {0}
    assert batch.objectives[0, first] == 2
    assert batch.objectives[1, batch.document_lengths[1][0]] == 1
    assert batch.tokens.dtype == np.int64


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_resume_is_exact(worker: Callable[..., Worker], tmp_path: Path, zero_stage: int) -> None:
    whole = worker(zero_stage=zero_stage)
    whole.run(6, lambda w: w.save(tmp_path) if w.next_step == 3 else None)
    resumed = worker(zero_stage=zero_stage)
    resumed.load(tmp_path)
    assert resumed.next_step == 3
    resumed.run(6, nothing)
    assert resumed.history == whole.history
    for name, weight in whole.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name


def test_training_learns_and_counts_by_objective(worker: Callable[..., Worker]) -> None:
    trained = worker(steps=12)
    trained.run(12, nothing)
    first, last = trained.history[0], trained.history[-1]
    assert last.loss < first.loss - 0.5
    assert all(count > 0 for record in trained.history for count in record.target_counts[:1])
    targets = sum(make_row(row)["loss_mask"].sum() for _, row in trained.order.rows_of_step(0))  # type: ignore[attr-defined]
    assert sum(first.target_counts) == targets
    assert trained.timing.steps == 12


def test_micro_batches_change_nothing_but_rounding(worker: Callable[..., Worker]) -> None:
    whole, split = worker(micro_batch=4), worker(micro_batch=1)
    for one in (whole, split):
        one.run(4, nothing)
    for a, b in zip(whole.history, split.history, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=0.02)
        assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=0.1)


def test_a_missing_checkpoint_is_an_error(worker: Callable[..., Worker], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        worker().load(tmp_path / "none")
