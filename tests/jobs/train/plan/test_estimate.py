"""Step times on devices of the table, and the search over settings."""

import pytest
from benchmarks.plan.published import PUBLISHED, Published

from treespan.jobs.train.config import ExecutionConfig
from treespan.jobs.train.hardware import accelerator, accelerators, find_accelerator
from treespan.jobs.train.plan.device import TableDevice
from treespan.jobs.train.plan.estimate import estimate
from treespan.jobs.train.plan.operations import (
    backward_products,
    block_products,
    loss_products,
)
from treespan.jobs.train.plan.search import search, warnings
from treespan.jobs.train.plan.setting import Job, Setting
from treespan.model.config import preset
from treespan.platform.errors import UserError

SEVEN = preset("7b", vocab_size=49_152)
PAPER = Job(SEVEN, seq_len=32_768, global_batch=512, steps=71_526)


def device(name: str) -> TableDevice:
    return TableDevice(name, accelerator(name))


@pytest.mark.parametrize("run", PUBLISHED, ids=lambda run: run.name)
def test_published_speeds_are_met_within_30_percent(run: Published) -> None:
    assert 0.7 < run.predicted / run.tokens_per_s < 1.3


def test_products_are_the_operations_that_the_model_counts() -> None:
    tokens = 128
    job = Job(SEVEN, seq_len=tokens, global_batch=1, steps=1)
    blocks = block_products(job, tokens)
    forward, backward = loss_products(job, Setting(1))
    counted = SEVEN.num_layers * sum(p.operations for p in (*blocks, *backward_products(blocks)))
    counted += sum(p.operations for p in (*forward, *backward))
    attention = 12 * SEVEN.num_layers * SEVEN.hidden_size * tokens
    assert counted / tokens == SEVEN.flops_per_token(tokens) - attention


@pytest.mark.parametrize("name", list(accelerators()))
def test_no_device_is_used_beyond_its_peak(name: str) -> None:
    job = Job(SEVEN, seq_len=2048, global_batch=64, steps=10)
    found = estimate(job, Setting(8, zero_stage=3, compiled=True), device(name))
    assert 0.05 < found.mfu < accelerator(name).sustained_share


def test_slower_links_and_recomputing_take_longer_and_more_steps_more_days() -> None:
    a100 = device("a100-40g")
    slow = TableDevice("slow", a100.row.model_copy(update={"inter_node_gb_s": 0.1}))
    setting = Setting(128, zero_stage=3, checkpoint_activations=True)
    here, there = estimate(PAPER, setting, a100), estimate(PAPER, setting, slow)
    assert there.time.total > here.time.total
    assert any("links" in warning for warning in warnings(there, slow))
    kept = estimate(PAPER, Setting(128, zero_stage=3), a100)
    assert kept.time.total < here.time.total
    assert not kept.fits
    assert here.fits
    assert here.days == pytest.approx(71_526 * here.time.total / 86_400)


def test_a_batch_that_does_not_divide_is_warned_of() -> None:
    job = Job(SEVEN, seq_len=2048, global_batch=10, steps=10)
    found = estimate(job, Setting(8, zero_stage=3), device("h100"))
    assert found.setting.wasted_share(10) == pytest.approx(1 - 10 / 16)
    assert any("does not divide" in warning for warning in warnings(found, device("h100")))


def test_all_that_is_suggested_fits_and_is_a_valid_setting() -> None:
    found = search(PAPER, 128, device("a100-40g"))
    assert found
    fastest = min(one.time.total for one in found)
    assert found[0].time.total <= 1.02 * fastest
    for one in found:
        assert one.fits
        ExecutionConfig.model_validate(one.setting.to_recipe(use_gpu=True))
    assert search(PAPER, 1, device("a10g")) == []


def test_passes_are_those_of_the_trainer() -> None:
    for workers, sharing, rows, batch in ((8, 2, 3, 100), (4, 1, 1, 4), (6, 3, 5, 7)):
        setting = Setting(workers, micro_batch=rows, sequence_parallel=sharing)
        execution = ExecutionConfig(
            num_workers=workers, micro_batch=rows, sequence_parallel=sharing
        )
        assert setting.passes(batch) == execution.passes(batch, workers)


def test_devices_are_found_by_what_the_driver_calls_them() -> None:
    found = {
        "NVIDIA H100 80GB HBM3": 989,
        "NVIDIA H100 PCIe": 756,
        "NVIDIA A100-SXM4-40GB": 312,
        "NVIDIA GeForce RTX 4090": 165,
    }
    for name, peak in found.items():
        row = find_accelerator(name)
        assert row is not None
        assert row.peak_tflops == peak
    assert find_accelerator("Radeon VII") is None
    with pytest.raises(UserError, match="Choose one of h100"):
        accelerator("h1000")
