"""Bytes of a worker: ZeRO's identities, activations against autograd itself, and monotony."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from treespan.jobs.train.plan.memory import layer_activation_bytes, memory_of
from treespan.jobs.train.plan.setting import Job, Setting
from treespan.model.config import ModelConfig, preset
from treespan.model.packed_attention import packed_rows
from treespan.model.rope import rope_tables
from treespan.model.transformer import Block

SEVEN = preset("7b", vocab_size=49_152)
PAPER = Job(SEVEN, seq_len=32_768, global_batch=512, steps=71_526)


def state(job: Job, setting: Setting) -> float:
    found = memory_of(job, setting, on_gpu=False)
    return found.weights + found.gradients + found.master_weights + found.optimizer


def test_the_papers_model_has_the_papers_parameters() -> None:
    assert SEVEN.num_parameters == 7_432_572_928
    assert state(PAPER, Setting(1, zero_stage=0)) == 20 * 7_432_572_928


@pytest.mark.parametrize("workers", [1, 8, 128])
def test_zero_3_of_all_workers_is_the_whole_state(workers: int) -> None:
    whole = state(PAPER, Setting(1, zero_stage=0))
    assert workers * state(PAPER, Setting(workers, zero_stage=3)) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("stage", "whole", "split"), [(0, 20, 0), (1, 8, 12), (2, 4, 16), (3, 0, 20)]
)
def test_each_stage_splits_what_the_zero_paper_splits(stage: int, whole: int, split: int) -> None:
    setting = Setting(64, zero_stage=stage)  # type: ignore[arg-type]
    expected = (whole + split / 64) * SEVEN.num_parameters
    assert state(PAPER, setting) == pytest.approx(expected)


def test_on_one_worker_stages_are_the_same() -> None:
    assert len({state(PAPER, Setting(1, zero_stage=stage)) for stage in (0, 1, 2, 3)}) == 1


def test_float32_has_no_second_weights() -> None:
    job = Job(SEVEN, seq_len=32_768, global_batch=512, steps=1, bf16=False)
    assert state(job, Setting(1, zero_stage=0)) == 16 * SEVEN.num_parameters


def test_offloading_moves_the_optimizer_to_the_host() -> None:
    here = memory_of(PAPER, Setting(8, zero_stage=2), on_gpu=True)
    there = memory_of(PAPER, Setting(8, zero_stage=2, offload="cpu"), on_gpu=True)
    assert there.optimizer == there.master_weights == 0
    assert there.host >= here.optimizer + here.master_weights
    disk = memory_of(PAPER, Setting(8, zero_stage=3, offload="nvme"), on_gpu=True)
    assert disk.disk == pytest.approx((2 + 4 + 8) * SEVEN.num_parameters / 8)


@pytest.mark.parametrize("tokens", [512, 1024])
def test_activations_are_those_that_autograd_keeps(
    tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With more threads torch's own operators are used, which keep more.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    shape = ModelConfig(
        vocab_size=64,
        hidden_size=256,
        intermediate_size=640,
        num_layers=1,
        num_heads=4,
        num_kv_heads=2,
        max_positions=1024,
    )
    block = Block(shape, 0).bfloat16()
    weights = {parameter.untyped_storage().data_ptr() for parameter in block.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    hidden = torch.randn(1, tokens, 256).bfloat16().requires_grad_()
    rope = rope_tables(torch.arange(tokens)[None], shape)
    rows = packed_rows(torch.zeros(1, tokens, dtype=torch.int64), "documents")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = block(hidden, rope, rows, None)
    assert out.requires_grad
    tables = 2 * 4 * tokens * shape.head_dim
    job = Job(shape, seq_len=tokens, global_batch=1, steps=1)
    counted = layer_activation_bytes(job, tokens, fused=True) + tables
    assert sum(kept.values()) == pytest.approx(counted, rel=0.1)


@given(
    workers=st.sampled_from([1, 2, 8, 64]),
    stage=st.sampled_from([0, 1, 2, 3]),
    rows=st.integers(1, 16),
    sharing=st.sampled_from([1, 2, 4]),
)
def test_more_of_anything_that_saves_memory_saves_it(
    workers: int, stage: int, rows: int, sharing: int
) -> None:
    def size(**changes: object) -> float:
        values = {"workers": workers * 4, "zero_stage": stage, "micro_batch": rows}
        setting = Setting(**{**values, "sequence_parallel": sharing, **changes})  # type: ignore[arg-type]
        return memory_of(PAPER, setting, on_gpu=True).device

    assert size(workers=workers * 8) <= size()
    assert size(micro_batch=rows + 1) > size()
    assert size(checkpoint_activations=True) < size()
    assert size(sequence_parallel=sharing * 2) < size()
    assert size(zero_stage=max(0, stage - 1)) >= size() or stage == 3
