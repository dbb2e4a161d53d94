"""The training loop of one worker: DeepSpeed around our model, rows from the shards. No Ray here.

What makes a resume exact: the row of every place is a function of the step (``row_order``), so is
the learning rate, every rule for anomalies is one of the history, nothing in the model draws random
numbers, and a training state holds the float32 weights, the moments and the history as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from treespan.jobs.train.anomalies import SpikeRule
from treespan.jobs.train.batch import Batch
from treespan.jobs.train.collective import Collective
from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.engine import building, initialize
from treespan.jobs.train.fragments import holding_of
from treespan.jobs.train.gradient_guard import GradientGuard
from treespan.jobs.train.loss_model import HEADS, LossModel
from treespan.jobs.train.memory import peak_memory_bytes
from treespan.jobs.train.rows import TrainingRows
from treespan.jobs.train.run_state import RunState
from treespan.jobs.train.schedule import learning_rate
from treespan.jobs.train.state_keeper import StateKeeper
from treespan.jobs.train.step_record import StepRecord, StepTiming, Tally
from treespan.jobs.train.tally import TallyKeys
from treespan.jobs.train.train_state import TrainStates
from treespan.model.config import ModelConfig
from treespan.model.lora import add_adapters
from treespan.model.packed_attention import PackedRows, packed_rows
from treespan.model.sequence_parallel import SequenceGroup
from treespan.model.transformer import Transformer
from treespan.platform.errors import UserError

Weights = Callable[[], Iterable[tuple[str, Tensor]]]
"""Gives the weights that a run starts from, by the names of ``LossModel``."""


@dataclass(frozen=True)
class Place:
    """Which worker this is."""

    rank: int
    world: int
    device: torch.device
    sequence: SequenceGroup | None = None
    """The workers that share rows with this one, if any."""


class Hooks(Protocol):
    """What the world outside the loop wants to know, and may ask for."""

    def after_step(self, record: StepRecord, timing: StepTiming) -> None:
        """A step was done."""

    def say(self, text: str) -> None:
        """Something happened that a person should know."""

    def time_to_ask(self) -> bool:
        """Whether ``must_save`` should be asked after this step; one worker's wish counts."""

    def must_save(self) -> bool:
        """Whether a machine is about to go away; asked on all workers together."""


class Worker:
    """One rank's model, data and history."""

    def __init__(
        self,
        config: TrainConfig,
        model_config: ModelConfig,
        place: Place,
        rows: TrainingRows,
        keys: TallyKeys,
        states: TrainStates,
        start: Weights,
        hooks: Hooks,
    ) -> None:
        self.config = config
        self.place = place
        self.total_steps = config.total_steps(rows.seq_len)
        self._rows, self._keys, self._hooks = rows, keys, hooks
        self._rule = SpikeRule(config.anomalies)
        self._together = Collective(place.world, place.device)
        self.engine = self._make_engine(model_config)
        self._guard = GradientGuard(self.engine, config.optimizer.gradient_clip, self._rule)
        self._keeper = StateKeeper(
            states, holding_of(self.engine), config, place.rank, self._together, hooks.say
        )
        self._asked = False
        self.run_state = self._begin(start)

    # -- starting and going on -------------------------------------------------------------------

    def _make_engine(self, model_config: ModelConfig) -> Any:
        config = self.config
        torch.manual_seed(config.seed)
        with building(config, self.place.world):
            transformer = Transformer(model_config)
            # Adapters and further heads draw their own; weights are installed later.
            if config.lora is not None:
                add_adapters(transformer, config.lora.adapters(), config.seed)
            model = LossModel(transformer, config.heads)
        transformer.sequence_group = self.place.sequence
        transformer.checkpoint_activations = config.execution.checkpoint_activations
        if config.execution.compile:
            for layer in transformer.model.layers:
                layer.compile()
        return initialize(model, config, self.place.world)

    def _begin(self, start: Weights) -> RunState:
        """Go on from the newest intact state, or else from the start."""
        run = self._keeper.begin(start())
        execution = self.config.execution
        placement = {
            "from_step": len(run.history),
            "workers": self.place.world,
            "zero_stage": execution.zero_stage,
            "micro_batch": execution.micro_batch,
            "sequence_parallel": execution.sequence_parallel,
        }
        before = [p for p in run.placements if p["from_step"] < len(run.history)]
        same = before and {**before[-1], "from_step": len(run.history)} == placement
        run.placements = before if same else [*before, placement]
        return run

    # -- the loop --------------------------------------------------------------------------------

    @property
    def next_step(self) -> int:
        """The step that comes next, counted from 0."""
        return len(self.run_state.history)

    @property
    def history(self) -> Sequence[StepRecord]:
        """All steps so far."""
        return self.run_state.history

    def run(self, until: int | None = None) -> None:
        """Train up to (not including) step ``until``, by default to the end, and save the end."""
        end = self.total_steps if until is None else until
        while self.next_step < end:
            self._run_from_here(end)
        self._keeper.wait()

    def _run_from_here(self, end: int) -> None:
        """Steps with one order of rows: until ``end``, or until the run turns back."""
        self.engine.train()
        every = self.config.checkpoints.every_steps
        with self._rows.reading(self.next_step, self.run_state.skips) as reading:
            saved_early = False
            while self.next_step < end:
                validation = self._validate(self.next_step)
                validated, waited = time.perf_counter(), reading.wait_seconds
                record = self._step(self.next_step, reading.batches(self.next_step), validation)
                self.run_state.history.append(record)
                computed = time.perf_counter()
                if self.next_step == self.total_steps and self._rows.has_heldout:
                    self.run_state.final_validation = self.validate()
                    validated += time.perf_counter() - computed
                    computed = time.perf_counter()
                if record.skipped:
                    self._hooks.say(f"Step {record.step}: no update, since {record.skipped}.")
                if self._rule.roll_back(self.history):
                    self._turn_back()
                    return
                done = self.next_step
                urgent = self._asked and not saved_early and self._hooks.must_save()
                if done % every == 0 or done in (end, self.total_steps) or urgent:
                    self._keeper.save(self.run_state)
                    saved_early = urgent
                timing = StepTiming(
                    seconds=time.perf_counter() - validated,
                    data_wait_seconds=reading.wait_seconds - waited,
                    checkpoint_seconds=time.perf_counter() - computed,
                    tokens=self.config.global_batch * self._rows.seq_len,
                    peak_memory_bytes=peak_memory_bytes(self.place.device),
                )
                self._hooks.after_step(record, timing)

    def _step(
        self, step: int, batches: Iterable[Batch], validation: dict[str, Tally]
    ) -> StepRecord:
        config = self.config
        rate = learning_rate(step, self.total_steps, config.optimizer)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        self._guard.before([record.gradient_norm for record in self.history[-128:]])
        sums = self._keys.zeros()
        heads = torch.zeros(len(HEADS), 2, dtype=torch.float64)
        world, passes = (
            self.place.world,
            config.execution.passes(config.global_batch, self.place.world),
        )
        # The divisor is the same for every step and number of workers, so how rows are spread over
        # workers and passes changes nothing; DeepSpeed averages over both, hence the factor.
        scale = world * passes / (config.global_batch * self._rows.seq_len)
        for batch in batches:
            losses, total, extra = self._forward(batch)
            self.engine.backward(total * scale)
            self.engine.step()
            sums += self._keys.sums(losses.cpu(), batch)
            heads += extra.cpu()
        skipped = self._guard.after()
        if not skipped:
            self._keeper.take_in_update()
        asking = torch.tensor([float(self._hooks.time_to_ask())], dtype=torch.float64)
        together = self._together.sum(torch.cat((sums.flatten(), heads.flatten(), asking)))
        sums = together[: sums.numel()].view_as(sums)
        heads = together[sums.numel() : -1].view_as(heads)
        self._asked = bool(together[-1])
        return StepRecord(
            step=step,
            learning_rate=rate,
            gradient_norm=self._guard.norm,
            **self._keys.split(sums)._asdict(),
            skipped=skipped,
            heads={n: float(s / c) for n, (s, c) in zip(HEADS, heads, strict=True) if c},
            validation=validation,
        )

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Losses ``[B, T]``, what is differentiated, and the heads' sums, of one micro batch."""
        device, sequence = self.place.device, self.place.sequence
        documents = batch.documents if sequence is None else sequence.part(batch.documents)
        result: tuple[Tensor, Tensor, Tensor] = self.engine(
            batch.tokens.to(device, non_blocking=True),
            batch.positions.to(device, non_blocking=True),
            self._rows_of(batch),
            batch.targets.to(device, non_blocking=True),
            documents.to(device, non_blocking=True),
            batch.middle_left.to(device, non_blocking=True),
        )
        return result

    def _rows_of(self, batch: Batch) -> PackedRows:
        narrow = self.config.precision == "bf16"
        return packed_rows(
            batch.documents,
            self.config.execution.attention,
            device=self.place.device,
            dtype=torch.bfloat16 if narrow else torch.float32,
        )

    def _validate(self, step: int) -> dict[str, Tally]:
        """Loss on held-out rows by objective, where it is due before ``step``."""
        every = self.config.validation.every_steps or max(1, self.total_steps // 10)
        if step % every or not self._rows.has_heldout:
            return {}
        return self.validate()

    def validate(self) -> dict[str, Tally]:
        """Loss on held-out rows by objective; every worker must call it."""
        sums = self._keys.zeros()
        self.engine.eval()
        with torch.no_grad():
            for batch in self._rows.heldout_batches():
                losses, _, _ = self._forward(batch)
                sums += self._keys.sums(losses.cpu(), batch)
        self.engine.train()
        return dict(self._keys.split(self._together.sum(sums)).by_objective)

    # -- turning back ----------------------------------------------------------------------------

    def _turn_back(self) -> None:
        """Return to a state from before the anomaly, and pass over the rows since."""
        config, here = self.config.anomalies, self.next_step
        rollbacks = self.run_state.rollbacks
        if len(rollbacks) >= config.max_rollbacks:
            raise UserError(
                f"training went wrong at step {here - 1} after {len(rollbacks)} returns to an "
                f"earlier state (loss {self.history[-1].loss:.3g}, gradient norm "
                f"{self.history[-1].gradient_norm:.3g}).",
                "Lower train.optimizer.learning_rate, or warm up for longer.",
            )
        skips = list(self.run_state.skips)
        why = f"loss {self.history[-1].loss:.3g}, norm {self.history[-1].gradient_norm:.3g}"
        found = self._keeper.turn_back(before=here - config.spike_steps + 1)
        if found is None:
            raise UserError(
                f"training went wrong at step {here - 1} ({why}), before the first training state.",
                "Lower train.optimizer.learning_rate, or warm up for longer.",
            )
        self.run_state, back = found, len(found.history)
        # Turns that lie behind the one before pass over its rows as well.
        passed = sum(rows for step, rows in skips if step > back)
        passed += (here - back) * self.config.global_batch
        self.run_state.skips = [*(skip for skip in skips if skip[0] <= back), (back, passed)]
        self.run_state.rollbacks = [*rollbacks, {"step": here, "to": back, "why": why}]
        self._hooks.say(
            f"Step {here - 1} went wrong ({why}): back to step {back}, and past the rows since."
        )
