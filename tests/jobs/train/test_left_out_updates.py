"""DeepSpeed around an optimizer with a veto: what a left-out update leaves behind is nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from treespan.jobs.train.guarded_adamw import GuardedAdamW

MICRO_BATCHES = 2


pytestmark = pytest.mark.usefixtures("one_process_group")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(8, 16), nn.Linear(16, 4)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data.normal_(generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.outer(self.inner(x).relu()).float().square().sum())


class Run:
    def __init__(self, stage: int, offload: str) -> None:
        import deepspeed
        import deepspeed.ops

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        net = Net()
        self.optimizer = GuardedAdamW(
            [
                {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": 0.1},
                {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0},
            ],
            lr=0.01,
        )
        self.engine, *_ = deepspeed.initialize(
            model=net,
            optimizer=self.optimizer,
            config={
                "train_micro_batch_size_per_gpu": 4,
                "gradient_accumulation_steps": MICRO_BATCHES,
                "gradient_clipping": 1.0,
                "bf16": {"enabled": True, "check_grad_overflow": False},
                "data_types": {"grad_accum_dtype": "fp32"},
                "zero_optimization": {"stage": stage, "offload_optimizer": {"device": offload}},
                "zero_allow_untested_optimizer": True,
                "zero_force_ds_cpu_optimizer": False,
                "steps_per_print": 10**9,
            },
        )
        self.optimizer.veto = self.veto
        self.norms: list[float] = []

    def veto(self) -> bool:
        norm = float(self.engine.optimizer._global_grad_norm)
        self.norms.append(norm)
        return not math.isfinite(norm) or norm > 1e4

    def step(self, number: int, factor: float = 1.0) -> None:
        for micro in range(MICRO_BATCHES):
            generator = torch.Generator().manual_seed(number * MICRO_BATCHES + micro)
            loss = self.engine(torch.randn(4, 8, generator=generator).bfloat16())
            self.engine.backward(loss * (factor if micro == 0 else 1.0))
            self.engine.step()

    def state(self) -> list[Tensor]:
        """Half precision weights, float32 weights, moments and counts."""
        import deepspeed
        from deepspeed.utils import safe_get_full_fp32_param

        parameters = list(self.engine.module.parameters())
        wide: list[Any] = [safe_get_full_fp32_param(parameter) for parameter in parameters]
        stage_3 = self.engine.zero_optimization_stage() == 3
        with deepspeed.zero.GatheredParameters(parameters, enabled=stage_3):
            narrow = [parameter.detach().clone() for parameter in parameters]
        moments = [value for state in self.optimizer.state.values() for value in state.values()]
        return [*narrow, *(tensor.detach().clone() for tensor in (*wide, *moments))]


@pytest.mark.parametrize(
    ("stage", "offload", "factor"),
    [
        (1, "none", math.nan),
        (2, "none", math.nan),
        (2, "none", 1e6),
        (3, "none", math.nan),
        (2, "cpu", math.nan),
        (3, "cpu", math.nan),
    ],
)
def test_training_goes_on_as_if_the_step_had_not_been(
    stage: int, offload: str, factor: float
) -> None:
    run, calm = Run(stage, offload), Run(stage, offload)
    for each in (run, calm):
        each.step(0)
    before = run.state()
    run.step(1, factor)
    assert all(torch.equal(a, b) for a, b in zip(run.state(), before, strict=True))
    assert run.engine.get_global_grad_norm() > 1e4
    for number in (2, 3):
        run.step(number)
        calm.step(number)
    after = run.state()
    assert all(tensor.isfinite().all() for tensor in after)
    assert not torch.equal(after[0], before[0])
    assert all(torch.equal(a, b) for a, b in zip(after, calm.state(), strict=True))
    assert all(norm > 0 for norm in run.norms)


def test_the_first_step_may_be_left_out() -> None:
    run, calm = Run(2, "none"), Run(2, "none")
    run.step(7, 1e6)
    for each in (run, calm):
        each.step(0)
    assert all(torch.equal(a, b) for a, b in zip(run.state(), calm.state(), strict=True))
