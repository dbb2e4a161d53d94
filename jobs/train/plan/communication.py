"""Seconds that workers spend on exchanging weights, gradients and tokens in one step.

A ring over p workers moves (p - 1) / p of what is gathered or scattered through each, and an
all-reduce is a scatter and a gather: twice that (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69,
2009). Where the ring leaves a node, all devices of the node have a ring of their own through their
own port, so a node's ports count together, and the slower of them and the link inside decides.

Volume by ZeRO stage (arXiv 1910.02054, section 7), with what DeepSpeed does: stages 0 and 1 exchange
gradients once in a step, stages 2 and 3 in every pass; stages 1 and 2 gather new weights once;
stage 3 gathers weights forward and again backward in every pass.

DeepSpeed-Ulysses (arXiv 2309.14509, section 3.2) moves query, key, value and attention's output of
every layer, there and back: each worker sends (P - 1) / P of its tokens' part.
"""

from __future__ import annotations

from dataclasses import dataclass

from treespan.jobs.train.plan.setting import Job, Setting


@dataclass(frozen=True)
class Links:
    """What joins the workers. Bytes per second, one direction."""

    workers_per_node: int
    intra_node: float
    inter_node: float  # of one worker
    latency_s: float  # of one message
    overlaps: bool  # whether exchange goes on beside computing

    def ring_rate(self, workers: int) -> float:
        """Bytes per second of a ring over ``workers``, for each of them."""
        if workers <= self.workers_per_node:
            return self.intra_node
        return min(self.intra_node, self.inter_node * self.workers_per_node)


def gather_s(size: float, workers: int, links: Links) -> float:
    """Of an all-gather to, or a reduce-scatter from, ``size`` bytes on each worker."""
    if workers == 1:
        return 0.0
    moved = (workers - 1) / workers * size / links.ring_rate(workers)
    return moved + (workers - 1) * links.latency_s


def all_reduce_s(size: float, workers: int, links: Links) -> float:
    """Of an all-reduce of ``size`` bytes."""
    return 2 * gather_s(size, workers, links)


@dataclass(frozen=True)
class Exchange:
    """Seconds of one step, before any of it is hidden behind computing."""

    in_forward: float
    in_backward: float
    in_update: float
    in_attention: float  # Ulysses; never hidden, since attention waits for it

    @property
    def total(self) -> float:
        """All of it."""
        return self.in_forward + self.in_backward + self.in_update + self.in_attention


def exchange_of(job: Job, setting: Setting, links: Links) -> Exchange:
    """What ``setting`` exchanges in a step."""
    workers, stage = setting.workers, setting.zero_stage
    passes = setting.passes(job.global_batch)
    size = float(job.value_bytes * job.model.num_parameters)
    once = gather_s(size, workers, links)
    forward = once * passes if stage == 3 else 0.0
    backward = {0: 2 * once, 1: once, 2: once * passes, 3: 2 * once * passes}[stage]
    update = once if stage in (1, 2) else 0.0
    return Exchange(forward, backward, update, passes * _ulysses_s(job, setting, links))


def _ulysses_s(job: Job, setting: Setting, links: Links) -> float:
    """All-to-alls of one pass, forward and backward, and again forward where it is recomputed."""
    sharing = setting.sequence_parallel
    if sharing == 1:
        return 0.0
    model = job.model
    # Where key heads are fewer than workers, each is repeated.
    keys = max(model.num_kv_heads, sharing) * model.head_dim
    width = 2 * model.num_heads * model.head_dim + 2 * keys
    moved = job.value_bytes * setting.tokens(job.seq_len) * width * (sharing - 1) / sharing
    each = moved / links.ring_rate(sharing) + 4 * sharing * links.latency_s
    return model.num_layers * each * (3 if setting.checkpoint_activations else 2)
