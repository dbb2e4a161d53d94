"""Exchange: rings against counting what each worker sends, and volumes by ZeRO stage."""

import pytest

from treespan.jobs.train.plan.communication import Links, all_reduce_s, exchange_of, gather_s
from treespan.jobs.train.plan.setting import Job, Setting
from treespan.model.config import preset

LINKS = Links(workers_per_node=8, intra_node=100e9, inter_node=10e9, latency_s=0, overlaps=True)
JOB = Job(preset("small", vocab_size=32_768), seq_len=4096, global_batch=64, steps=10)


def chunks_sent_by_a_ring(workers: int) -> int:
    """Chunks, of which an array has as many as workers, that each sends until all have all."""
    has = [{rank} for rank in range(workers)]
    sent = 0
    while any(len(chunks) < workers for chunks in has):
        # Each passes on what it got last: the chunk of the worker so many places before it.
        passed = [(rank - sent) % workers for rank in range(workers)]
        for rank in range(workers):
            has[(rank + 1) % workers].add(passed[rank])
        sent += 1
    return sent


@pytest.mark.parametrize("workers", [2, 3, 8])
def test_a_gather_takes_as_long_as_the_chunks_that_a_ring_passes(workers: int) -> None:
    size = 24e9
    expected = chunks_sent_by_a_ring(workers) * (size / workers) / 100e9
    assert gather_s(size, workers, LINKS) == pytest.approx(expected)
    assert all_reduce_s(size, workers, LINKS) == pytest.approx(2 * expected)


def test_one_worker_exchanges_nothing() -> None:
    assert exchange_of(JOB, Setting(1, zero_stage=3), LINKS).total == 0


def test_between_nodes_all_ports_of_a_node_count() -> None:
    assert LINKS.ring_rate(8) == 100e9
    assert LINKS.ring_rate(16) == 80e9


def test_volumes_are_those_of_the_zero_paper() -> None:
    """Stages 0 to 2 move twice the weights in a step of one pass, stage 3 three times."""
    totals = [exchange_of(JOB, Setting(64, zero_stage=s), LINKS).total for s in (0, 1, 2, 3)]
    assert totals[0] == pytest.approx(totals[1])
    assert totals[1] == pytest.approx(totals[2])
    assert totals[3] == pytest.approx(1.5 * totals[2])


def test_stages_2_and_3_pay_for_every_pass() -> None:
    once, thrice = (Job(JOB.model, 4096, 8 * n, 10) for n in (1, 3))
    for stage, dearer in ((0, False), (1, False), (2, True), (3, True)):
        setting = Setting(8, zero_stage=stage)  # type: ignore[arg-type]
        more = exchange_of(thrice, setting, LINKS).total > exchange_of(once, setting, LINKS).total
        assert more == dearer


def test_sharing_rows_adds_exchange_that_recomputing_repeats() -> None:
    shared = exchange_of(JOB, Setting(8, sequence_parallel=4), LINKS).in_attention
    again = Setting(8, sequence_parallel=4, checkpoint_activations=True)
    assert exchange_of(JOB, again, LINKS).in_attention == pytest.approx(1.5 * shared) != 0
