"""Bytes that a worker needs, part by part, on its device and in its host's memory.

Legend: N parameters, P workers, b bytes of a value (2 under bf16, 4 under float32), D hidden size, K
width of keys, F width of the feed-forward, L layers, V vocabulary, H heads, t tokens of a pass on
this worker.

State follows ZeRO (arXiv 1910.02054, section 3.1) with what our engine adds: gradients are summed in
float32. Under bf16 a parameter has 2 bytes of weight, 2 of the gradient that autograd leaves, 4 of
summed gradient, 4 of float32 weight and 8 of Adam's two means: 20 with ZeRO 0, of which ZeRO 1 splits
the last two over the workers, ZeRO 2 the summed gradient too, ZeRO 3 everything. For the update,
gradients are joined into one more array, by when activations are gone: the larger of the two counts.

Activations are counted tensor by tensor for this model's block, as Megatron does for its own (arXiv
2205.05198, section 4.1: 34 t D a layer with attention fused): autograd keeps, with width times b
each, the inputs of both norms, their outputs, query, key, value, and attention's output, and the
four of the feed-forward (gate, its SiLU, up, their product). With checkpointed activations a layer
keeps its input alone, and one layer at a time has all.
"""

from __future__ import annotations

from dataclasses import dataclass

from treespan.jobs.train.plan.setting import Job, Setting

_CHUNK_LOGITS = 2**26
"""As in ``model.loss``: logits that are held at a time."""
_BUCKET_ELEMENTS = 500_000_000
"""DeepSpeed's default of reduce_bucket_size."""
_LIVE_ELEMENTS = 1_000_000_000
"""DeepSpeed's default of stage3_max_live_parameters."""
_UPDATE_STAGING = 12.0
"""Bytes for each parameter of the part that the host's optimizer works on at a time."""
_FRAGMENTATION = 0.08
"""Of activations and buffers, lost between blocks of the allocator (ours: what caching allocators
commonly leave reserved beyond the peak)."""
_CONTEXT_BYTES = 1.5e9
"""CUDA's context, its libraries' workspaces and NCCL's buffers (ours)."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one worker at its peak."""

    weights: float
    gradients: float
    master_weights: float
    optimizer: float
    activations: float
    logits: float
    buffers: float
    workspace: float  # of the optimizer's step
    margin: float
    host: float  # in the memory of its host, beside what the process itself takes
    disk: float  # on NVMe

    @property
    def device(self) -> float:
        """All that must fit on the device."""
        return sum(self.parts.values())

    @property
    def working_set(self) -> float:
        """What comes and goes in a step: forward and backward, or the update, whichever needs more."""
        return max(self.activations + self.logits + self.buffers, self.workspace)

    @property
    def parts(self) -> dict[str, float]:
        """What ``device`` is the sum of, by name."""
        return {
            "weights": self.weights,
            "gradients": self.gradients,
            "float32 weights": self.master_weights,
            "optimizer": self.optimizer,
            "working set": self.working_set,
            "margin": self.margin,
        }


def memory_of(job: Job, setting: Setting, *, on_gpu: bool) -> Memory:
    """The memory of one worker of ``setting``."""
    parameters, workers, stage = job.model.num_parameters, setting.workers, setting.zero_stage
    value = job.value_bytes
    part = parameters / (workers if stage >= 1 else 1)  # of what the optimizer holds
    whole = parameters / (workers if stage == 3 else 1)  # of what the products read
    weights = value * whole
    left = value * whole if job.bf16 else 0.0
    gradients = left + 4.0 * (part if stage >= 2 else parameters)
    master = 4.0 * part if job.bf16 else 0.0
    optimizer, workspace = 8.0 * part, 4.0 * part
    host = disk = 0.0
    if setting.offload != "none":
        # The sum of gradients and the update are the host's.
        gradients, workspace = left, 0.0
        held, host = master + optimizer, 4.0 * part + _UPDATE_STAGING * min(part, _BUCKET_ELEMENTS)
        if stage == 3:
            held, weights = held + weights, 0.0
        master = optimizer = 0.0
        if setting.offload == "cpu":
            host += held
        else:
            disk = held
    activations, logits = activation_bytes(job, setting), logit_bytes(job, setting)
    buffers = buffer_bytes(job, setting)
    margin = _FRAGMENTATION * max(activations + logits + buffers, workspace)
    return Memory(
        weights=weights,
        gradients=gradients,
        master_weights=master,
        optimizer=optimizer,
        activations=activations,
        logits=logits,
        buffers=buffers,
        workspace=workspace,
        margin=margin + (_CONTEXT_BYTES if on_gpu else 0.0),
        host=host,
        disk=disk,
    )


def layer_activation_bytes(job: Job, tokens: int) -> float:
    """What autograd keeps of one block for ``tokens`` tokens."""
    model = job.model
    keys = model.num_kv_heads * model.head_dim
    mixed = model.num_heads * model.head_dim
    widths = 4 * model.hidden_size + 2 * mixed + 2 * keys + 4 * model.intermediate_size
    statistics = 4 * (model.num_heads + 2)  # log-sum-exp of attention, and the norms' scales
    return float(tokens * (job.value_bytes * widths + statistics))


def activation_bytes(job: Job, setting: Setting) -> float:
    """What is kept between forward and backward, and the gradient on its way through a block."""
    model, tokens = job.model, setting.tokens(job.seq_len)
    stream = float(job.value_bytes * tokens * model.hidden_size)
    layer = layer_activation_bytes(job, tokens)
    working = stream * 2 + job.value_bytes * tokens * 2.0 * model.intermediate_size
    tables = 8.0 * tokens * model.head_dim  # rotary cosines and sines, float32
    if setting.checkpoint_activations:
        return model.num_layers * stream + layer + working + tables
    return model.num_layers * layer + 2 * stream + working + tables


def logit_bytes(job: Job, setting: Setting) -> float:
    """Of the loss: a chunk's logits as values, in float32 and as gradient, and the weight's sum."""
    tokens, vocabulary = setting.tokens(job.seq_len), job.model.vocab_size
    chunk = max(1, _CHUNK_LOGITS // vocabulary)
    held = (2 * 4.0 + job.value_bytes) * min(tokens, chunk) * vocabulary
    chunked = tokens > chunk
    return held + (4.0 * vocabulary * job.model.hidden_size if chunked else 0.0)


def buffer_bytes(job: Job, setting: Setting) -> float:
    """Of communication: the bucket that gradients are reduced in, and gathered layers of ZeRO 3."""
    parameters, value = job.model.num_parameters, job.value_bytes
    bucket = value * min(parameters, _BUCKET_ELEMENTS)
    if setting.zero_stage == 0:
        return float(value * parameters)  # gradients as they come, before they are summed
    if setting.zero_stage < 3:
        return float(bucket)
    return float(bucket + value * min(parameters, _LIVE_ELEMENTS))
