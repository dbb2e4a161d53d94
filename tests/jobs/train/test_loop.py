"""The training loop on one worker, without Ray: what a step records, and what disturbs it not."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.jobs.train.small_run import (
    MODEL,
    ROWS,
    SEQ_LEN,
    Watch,
    make_row,
    make_worker,
    settings,
    start_weights,
    write_shards,
)

from treespan.jobs.train.loop import Worker
from treespan.jobs.train.train_state import EMA
from treespan.model.objectives import OBJECTIVES
from treespan.platform.errors import UserError
from treespan.platform.store import Store


@pytest.fixture
def worker(one_process_group: None, tmp_path: Path) -> Callable[..., Worker]:
    write_shards(tmp_path)

    def make(states: str = "states", hooks: Watch | None = None, **changes: Any) -> Worker:
        return make_worker(tmp_path, settings(**changes), states=states, hooks=hooks)

    return make


def weights_of(worker: Worker) -> dict[str, torch.Tensor]:
    state = worker._keeper._states.complete()[0]
    shapes = {name: weight.shape for name, weight in start_weights()}
    return dict(worker._keeper._states.whole(state, shapes, "weight"))


def test_training_learns_and_counts(worker: Callable[..., Worker]) -> None:
    hooks = Watch()
    trained = worker(hooks=hooks)
    trained.run()
    first, last = trained.history[0], trained.history[-1]
    assert last.loss < first.loss - 0.5
    assert set(first.by_objective) == set(OBJECTIVES)
    assert sum(tally.targets for tally in first.by_language.values()) == first.targets
    assert sum(tally.targets for tally in first.by_strategy.values()) == first.targets
    # Twelve of forty rows in a step: the first three steps read each row at most once.
    targets = sum(int(make_row(row)["loss_mask"].sum()) for row in range(ROWS))
    assert 3 * 12 / ROWS * 0.7 < sum(r.targets for r in trained.history[:3]) / targets < 1
    assert len(hooks.timings) == 12
    assert all(t.tokens == 12 * SEQ_LEN and t.seconds > 0 for t in hooks.timings)


def test_micro_batches_change_nothing_but_rounding(worker: Callable[..., Worker]) -> None:
    runs = [worker(states=f"m{m}", execution={"micro_batch": m}, steps=4) for m in (12, 5, 1)]
    for one in runs:
        one.run()
    for other in runs[1:]:
        for a, b in zip(runs[0].history, other.history, strict=True):
            assert a.loss == pytest.approx(b.loss, abs=5e-3)
            assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=0.05)


def test_fp32_agrees_with_plain_torch(worker: Callable[..., Worker]) -> None:
    """One step of AdamW by hand on the same rows gives the same weights."""
    from treespan.jobs.train.batch import batch_of
    from treespan.jobs.train.row_order import RowOrder
    from treespan.model.loss import token_losses
    from treespan.model.transformer import Transformer

    run = worker(precision="fp32", steps=1, optimizer={"warmup_steps": 0, "schedule": "constant"})
    run.run()
    model = Transformer(MODEL)
    model.load_state_dict(
        {name.removeprefix("transformer."): weight for name, weight in start_weights()}
    )
    order = RowOrder(0, [ROWS], 12)
    places = order.rows_of_rank(0, 0, 1)
    batch = batch_of([run._rows._readers[0].row(place[1]) for place in places if place], SEQ_LEN)
    same = batch.documents[:, :, None] == batch.documents[:, None, :]
    hidden = model(batch.tokens, batch.positions, same.tril()[:, None])
    loss = token_losses(hidden, model.output_weight, batch.targets).sum() / batch.targets.numel()
    loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
    assert run.history[0].gradient_norm == pytest.approx(norm, rel=1e-5)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95)).step()
    trained = weights_of(run)
    for name, parameter in model.named_parameters():
        # The first step of Adam is lr times the sign of each gradient, however small that is.
        torch.testing.assert_close(trained[f"transformer.{name}"], parameter, rtol=0, atol=2e-4)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_gradient_that_is_not_finite_changes_nothing(
    worker: Callable[..., Worker], stage: int
) -> None:
    hooks = Watch()
    run = worker(hooks=hooks, execution={"zero_stage": stage}, steps=4)
    forward, calls = run._forward, []

    def poisoned(batch: Any) -> Any:
        losses, total, heads = forward(batch)
        calls.append(1)
        return losses, total * (math.nan if run.next_step == 2 else 1.0), heads

    run._forward = poisoned  # type: ignore[method-assign]
    run.run()
    assert [bool(record.skipped) for record in run.history] == [False, False, True, False]
    assert run.run_state.updates == 3
    assert "not finite" in hooks.said[0]
    assert all(weight.isfinite().all() for weight in weights_of(run).values())
    assert run.history[3].loss < run.history[0].loss


def test_a_spike_turns_the_run_back_and_passes_over_its_rows(
    worker: Callable[..., Worker],
) -> None:
    anomalies = {"spike_steps": 2}
    hooks = Watch()
    run = worker(hooks=hooks, steps=44, anomalies=anomalies, checkpoints={"every_steps": 5})
    step = run._step
    struck: list[int] = []

    def striking(number: int, batches: Any, validation: Any) -> Any:
        record = step(number, batches, validation)
        if number in (37, 38) and len(struck) < 2:
            struck.append(number)
            grown = {
                name: type(tally)(tally.nats * 99, tally.targets)
                for name, tally in record.by_objective.items()
            }
            return type(record)(**{**vars(record), "by_objective": grown})
        return record

    run._step = striking  # type: ignore[method-assign]
    run.run()
    assert struck == [37, 38]
    assert [(r["step"], r["to"]) for r in run.run_state.rollbacks] == [(39, 35)]
    assert run.run_state.skips == [(35, 4 * 12)]
    assert len(run.history) == 44
    assert any("back to step 35" in said for said in hooks.said)
    # The abandoned branch is gone, and a run that goes on now knows of the turn.
    again = make_worker(Path(run._keeper._states.store.uri), run.config)
    assert again.run_state.skips == run.run_state.skips
    assert again.history == run.history


def test_too_many_rollbacks_are_an_error(worker: Callable[..., Worker]) -> None:
    run = worker(anomalies={"spike_steps": 1, "max_rollbacks": 0})
    forward = run._forward

    def poisoned(batch: Any) -> Any:
        losses, total, heads = forward(batch)
        return losses, total * (math.nan if run.next_step == 4 else 1.0), heads

    run._forward = poisoned  # type: ignore[method-assign]
    with pytest.raises(UserError, match="went wrong at step 4"):
        run.run()


def test_a_damaged_state_is_found_and_the_one_before_is_used(
    worker: Callable[..., Worker],
) -> None:
    whole = worker()
    whole.run()
    newest, second = whole._keeper._states.complete()[:2]
    assert (newest.step, second.step) == (12, 9)
    share = Path(whole._keeper._states.store.path(f"{newest.folder}/share-00-of-01.arrow"))
    data = bytearray(share.read_bytes())
    data[len(data) // 2] ^= 1
    share.write_bytes(data)
    hooks = Watch()
    again = worker(hooks=hooks)
    assert again.next_step == 9
    assert "damaged" in hooks.said[0]
    again.run()
    assert again.history == whole.history


@pytest.mark.parametrize(("full_at", "kept"), [(6, [12, 9, 3]), (12, [9, 6, 3])])
def test_a_full_store_costs_states_but_no_training(
    worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch, full_at: int, kept: list[int]
) -> None:
    hooks = Watch()
    run = worker(hooks=hooks)
    write = Store.write_table

    def full(store: Store, path: str, *arguments: Any) -> Any:
        if f"step-{full_at:08d}" in path:
            raise OSError(28, "No space left on device", path)
        return write(store, path, *arguments)

    monkeypatch.setattr(Store, "write_table", full)
    run.run()
    assert len(run.history) == 12
    assert any("No space left" in said for said in hooks.said)
    assert [state.step for state in run._keeper._states.complete()] == kept


def test_a_turn_behind_another_passes_over_the_rows_of_both(
    worker: Callable[..., Worker],
) -> None:
    run = worker(anomalies={"spike_steps": 1})
    run.run()
    run.run_state.skips = [(3, 24), (8, 36)]
    run._turn_back()
    # From step 12 to the state of step 9 or before: of step 9, behind both.
    assert run.next_step == 9
    assert run.run_state.skips == [(3, 24), (8, 36), (9, 3 * 12)]
    again = make_worker(Path(run._keeper._states.store.uri), run.config)
    again.run_state.skips = [(3, 24), (8, 36)]
    again._keeper._states.forget_after(6)
    again._turn_back()
    assert again.next_step == 6
    assert again.run_state.skips == [(3, 24), (6, 36 + 3 * 12)]


def test_only_the_newest_states_are_kept(worker: Callable[..., Worker]) -> None:
    run = worker(checkpoints={"every_steps": 1, "keep": 2}, anomalies={"spike_steps": 1})
    run.run()
    assert [state.step for state in run._keeper._states.complete()] == [12, 11, 10]


def test_a_notice_makes_a_state_at_once(worker: Callable[..., Worker]) -> None:
    hooks = Watch()
    hooks.asks = True
    run = worker(hooks=hooks, checkpoints={"every_steps": 100})
    run.run(until=5)
    assert [state.step for state in run._keeper._states.complete()] == [5, 1]


def test_ema_is_kept_resumed_and_saved(worker: Callable[..., Worker]) -> None:
    whole = worker(states="whole", ema_decay=0.9)
    whole.run()
    half = worker(states="halves", ema_decay=0.9)
    half.run(until=6)
    resumed = worker(states="halves", ema_decay=0.9)
    assert resumed.next_step == 6
    resumed.run()
    shapes = {name: weight.shape for name, weight in start_weights()}
    means = [
        dict(run._keeper._states.whole(run._keeper._states.complete()[0], shapes, EMA))
        for run in (whole, resumed)
    ]
    for name, weight in weights_of(whole).items():
        assert torch.equal(means[0][name], means[1][name])
        assert not torch.equal(means[0][name], weight) or weight.ndim == 1


def test_validation_is_measured_before_while_and_after(worker: Callable[..., Worker]) -> None:
    run = worker(validation={"rows": 6, "every_steps": 4}, steps=12)
    run.run()
    measured = [record.step for record in run.history if record.validation]
    assert measured == [0, 4, 8]
    targets = sum(int(make_row(row)["loss_mask"].sum()) for row in range(ROWS, ROWS + 6))
    for tallies in (run.history[0].validation, run.run_state.final_validation):
        assert sum(tally.targets for tally in tallies.values()) == targets
    first, last = run.history[0].validation["ntp"], run.run_state.final_validation["ntp"]
    assert last.loss < first.loss


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_heads_are_trained_and_stay_out_of_the_loss(
    worker: Callable[..., Worker], stage: int
) -> None:
    heads = {"length_weight": 0.1, "extra_tokens": 2}
    run = worker(heads=heads, execution={"zero_stage": stage})
    run.run()
    assert set(run.history[0].heads) == {"length", "extra_tokens"}
    assert run.history[-1].heads["extra_tokens"] < run.history[0].heads["extra_tokens"]
    plain = worker(states="plain", steps=12, execution={"zero_stage": stage})
    plain.run(until=1)
    assert plain.history[0].loss == run.history[0].loss
