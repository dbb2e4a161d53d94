"""What a worker holds of the training state: flat fragments of named parameters, in float32.

ZeRO 0 to 3 split weights and moments differently, and differently again for every number of
workers. Here each is seen as the same thing: fragments ``[start, start + length)`` of flattened
parameters, with the float32 weight and the optimizer's moments. A state that is written as
fragments can be read by any other split.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from treespan.jobs.train.loss_model import named_weights

WEIGHT, MOMENTS = "weight", ("exp_avg", "exp_avg_sq")
QUANTITIES = (WEIGHT, *MOMENTS)
"""What is kept of every trained element."""


@dataclass(frozen=True)
class Fragment:
    """Elements ``[start, start + length)`` of a flattened parameter."""

    name: str
    start: int
    length: int


class Holding(ABC):
    """A worker's fragments, to read and to write."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.parameters: dict[str, Any] = dict(named_weights(engine.module))
        self.fragments: list[Fragment] = [
            fragment
            for name, parameter in self.parameters.items()
            if parameter.requires_grad and (fragment := self._held(name, parameter)).length > 0
        ]
        """What this worker holds. Without ZeRO every worker holds everything."""

    @property
    def owned(self) -> list[Fragment]:
        """The share that this worker writes; the shares of all workers make up the state."""
        return self.fragments

    @abstractmethod
    def _held(self, name: str, parameter: Any) -> Fragment: ...

    @abstractmethod
    def view(self, fragment: Fragment, quantity: str) -> Tensor:
        """float32 ``[length]`` of one of ``QUANTITIES``; to be read before the next update."""

    @abstractmethod
    def write(self, fragment: Fragment, quantity: str, values: Tensor) -> None:
        """Set one of ``QUANTITIES`` of a fragment from float32 ``[length]``."""

    @abstractmethod
    def _flats(self) -> Iterable[Tensor]:
        """The tensors that the optimizer updates."""

    @abstractmethod
    def commit(self) -> None:
        """Make the weights that the model computes with those that were written; collective."""

    def make_moments(self, updates: int) -> None:
        """Moments of zero, after so many updates."""
        state = self._adamw.state
        for flat in self._flats():
            # A fused kernel takes its count where the weights are, others on the CPU.
            device = flat.device if self._adamw.defaults["fused"] else None
            state[flat]["step"] = torch.tensor(float(updates), device=device)
            for name in MOMENTS:
                state[flat][name] = torch.zeros_like(flat)

    @property
    def _adamw(self) -> torch.optim.Optimizer:
        optimizer = self.engine.optimizer
        adamw: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
        return adamw

    def write_frozen(self, name: str, values: Tensor) -> None:
        """Set a whole parameter that is not trained."""
        parameter = self.parameters[name]
        parameter.data.copy_(values.view_as(parameter))

    def install(self, weights: Iterable[tuple[str, Tensor]], *, zero: tuple[str, ...] = ()) -> None:
        """Start from whole named ``weights``, with moments of zero; collective.

        What begins with one of ``zero`` is zero; else what is not named stays as it was made.
        """
        self.make_moments(updates=0)
        for fragment in self.fragments:
            if fragment.name.startswith(zero):
                self.write(fragment, WEIGHT, torch.zeros(fragment.length))
        by_name = {fragment.name: fragment for fragment in self.fragments}
        for name, values in weights:
            if not self.parameters[name].requires_grad:
                self.write_frozen(name, values)
            elif (held := by_name.get(name)) is not None:
                part = values.flatten()[held.start : held.start + held.length]
                self.write(held, WEIGHT, part.float())
        self.commit()


class Replicated(Holding):
    """Stage 0: every worker holds all of it, and writes its part of each parameter."""

    def _held(self, name: str, parameter: Any) -> Fragment:
        return Fragment(name, 0, parameter.numel())

    @property
    def owned(self) -> list[Fragment]:
        """An equal slice of every parameter."""
        rank, world = self.engine.global_rank, self.engine.world_size
        slices = []
        for whole in self.fragments:
            first, last = (whole.length * place // world for place in (rank, rank + 1))
            if first < last:
                slices.append(Fragment(whole.name, first, last - first))
        return slices

    def view(self, fragment: Fragment, quantity: str) -> Tensor:
        parameter = self.parameters[fragment.name]
        values: Tensor = (
            parameter.data if quantity == WEIGHT else self._adamw.state[parameter][quantity]
        )
        return values.view(-1).narrow(0, fragment.start, fragment.length)

    def write(self, fragment: Fragment, quantity: str, values: Tensor) -> None:
        self.view(fragment, quantity).copy_(values)

    def _flats(self) -> Iterable[Tensor]:
        return (p for p in self.parameters.values() if p.requires_grad)

    def commit(self) -> None:
        return


class Partitioned(Holding):
    """Stages 1 and 2: the float32 weights of a parameter group, laid end to end and cut evenly."""

    def _held(self, name: str, parameter: Any) -> Fragment:
        mapping = parameter._hp_mapping
        if mapping is None:
            return Fragment(name, 0, 0)
        address = mapping.lp_fragment_address
        return Fragment(name, address.start, address.numel)

    def view(self, fragment: Fragment, quantity: str) -> Tensor:
        mapping = self.parameters[fragment.name]._hp_mapping
        flat = self._adamw.param_groups[mapping.param_group_index]["params"][0]
        values = flat.data if quantity == WEIGHT else self._adamw.state[flat][quantity]
        # ``fragment`` may be part of what is held.
        shift = fragment.start - mapping.lp_fragment_address.start
        first: int = mapping.get_hp_fragment_address().start + shift
        part: Tensor = values.narrow(0, first, fragment.length)
        return part

    def write(self, fragment: Fragment, quantity: str, values: Tensor) -> None:
        self.view(fragment, quantity).copy_(values)

    def _flats(self) -> Iterable[Tensor]:
        return (group["params"][0] for group in self._adamw.param_groups)

    def commit(self) -> None:
        self.engine.optimizer.update_lp_params()


class Sharded(Holding):
    """Stage 3: every parameter is cut evenly, so each worker holds a piece of each."""

    def _held(self, name: str, parameter: Any) -> Fragment:
        start = parameter.ds_tensor.ds_numel * self.engine.global_rank
        length = min(parameter.ds_tensor.ds_numel, parameter.ds_numel - start)
        return Fragment(name, min(start, parameter.ds_numel), max(0, length))

    def view(self, fragment: Fragment, quantity: str) -> Tensor:
        from deepspeed.utils import safe_get_local_fp32_param, safe_get_local_optimizer_state

        parameter = self.parameters[fragment.name]
        values = (
            safe_get_local_fp32_param(parameter)
            if quantity == WEIGHT
            else safe_get_local_optimizer_state(parameter, quantity)
        )
        part: Tensor = values.narrow(0, fragment.start - self._start(parameter), fragment.length)
        return part

    def write(self, fragment: Fragment, quantity: str, values: Tensor) -> None:
        from deepspeed.utils import safe_set_local_fp32_param, safe_set_local_optimizer_state

        parameter = self.parameters[fragment.name]
        held = self._held(fragment.name, parameter)
        # The last piece is padded to the length of the others.
        whole = torch.zeros(parameter.ds_tensor.ds_numel)
        whole[: held.length] = self.view(held, quantity)
        whole.narrow(0, fragment.start - held.start, fragment.length).copy_(values)
        if quantity == WEIGHT:
            safe_set_local_fp32_param(parameter, whole)
        else:
            safe_set_local_optimizer_state(parameter, whole, quantity)

    def write_frozen(self, name: str, values: Tensor) -> None:
        parameter: Any = self.parameters[name]
        start = self._start(parameter)
        part = values.flatten()[start : start + parameter.ds_tensor.ds_numel]
        parameter.ds_tensor.data[: part.numel()].copy_(part)

    def _start(self, parameter: Any) -> int:
        start: int = parameter.ds_tensor.ds_numel * self.engine.global_rank
        return start

    def _flats(self) -> Iterable[Tensor]:
        flats: list[Tensor] = self.engine.optimizer.fp32_partitioned_groups_flat
        return flats

    def commit(self) -> None:
        optimizer = self.engine.optimizer
        for group in range(len(optimizer.fp16_groups)):
            optimizer._reassign_or_swap_out_partitioned_parameters(group)
        if kept_whole := optimizer.persistent_parameters:
            kept_whole[0].partition(kept_whole)
            kept_whole[0].all_gather(kept_whole)


def holding_of(engine: Any) -> Holding:
    """The fragments of a DeepSpeed engine, by its ZeRO stage."""
    stage = engine.zero_optimization_stage()
    if stage == 3:
        return Sharded(engine)
    return Partitioned(engine) if stage else Replicated(engine)
