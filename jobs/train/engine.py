"""DeepSpeed around our model: the one place that knows its configuration.

Its operators that want a compiler at start are switched off: gloo does the same work on the CPU,
and ``torch.optim.AdamW`` needs none.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.guarded_adamw import GuardedAdamW
from treespan.jobs.train.loss_model import CastWeights, LossModel


def deepspeed_config(config: TrainConfig, world: int) -> dict[str, Any]:
    """What DeepSpeed is told, for ``world`` workers."""
    execution = config.execution
    stage = execution.zero_stage
    zero: dict[str, Any] = {"stage": stage}
    if execution.offload != "none":
        place: dict[str, Any] = {"device": execution.offload, "pin_memory": execution.use_gpu}
        if execution.nvme_folder is not None:
            place["nvme_path"] = execution.nvme_folder
        zero["offload_optimizer"] = place
        if stage == 3:
            zero["offload_param"] = place
    settings: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": execution.micro_batch,
        "gradient_accumulation_steps": execution.passes(config.global_batch, world),
        # Without ZeRO the gradient is clipped where its norm is measured: see GradientGuard.
        "gradient_clipping": config.optimizer.gradient_clip if stage else 0.0,
        "zero_optimization": zero,
        # torch's AdamW runs anywhere; DeepSpeed's own wants a compiler.
        "zero_force_ds_cpu_optimizer": False,
        # DeepSpeed knows optimizers by their very class; ours is torch's, with a veto.
        "zero_allow_untested_optimizer": True,
        "steps_per_print": 10**9,
    }
    if config.precision == "bf16" and stage:
        # Gradients that are not finite are GradientGuard's concern: with offload and several micro
        # batches DeepSpeed's own check never recovers from one.
        settings["bf16"] = {"enabled": True, "check_grad_overflow": False}
        settings["data_types"] = {"grad_accum_dtype": "fp32"}
    return settings


def building(config: TrainConfig, world: int) -> AbstractContextManager[Any]:
    """The context to make a model in: ZeRO-3 splits each layer as soon as it is there.

    Adapters are put around whole matrices, so such a model is split once it is complete.
    """
    import deepspeed

    if config.execution.zero_stage != 3 or config.lora is not None:
        return nullcontext()
    settings = deepspeed_config(config, world)
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    init: AbstractContextManager[Any] = deepspeed.zero.Init(
        config_dict_or_path=settings, dtype=dtype
    )
    return init


def initialize(model: LossModel, config: TrainConfig, world: int) -> Any:
    """The DeepSpeed engine of one worker; its process group must be there."""
    import deepspeed

    wrapped: nn.Module = model
    if config.precision == "bf16" and config.execution.zero_stage == 0:
        wrapped = CastWeights(model)
    engine = engine_around(wrapped, config, world)
    if config.execution.zero_stage == 3:
        # The loss reads the output projection outside of the layer that owns it.
        deepspeed.zero.register_external_parameter(model, model.transformer.lm_head.weight)
    return engine


def engine_around(model: nn.Module, config: TrainConfig, world: int) -> Any:
    """DeepSpeed and AdamW around any model."""
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    leave_out_compiled_operators()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=GuardedAdamW(
            [
                {
                    "params": [p for p in trained if _dimensions(p) > 1],
                    "weight_decay": config.optimizer.weight_decay,
                },
                {"params": [p for p in trained if _dimensions(p) < 2], "weight_decay": 0.0},
            ],
            lr=config.optimizer.learning_rate,
            betas=(config.optimizer.beta1, config.optimizer.beta2),
            fused=config.execution.offload == "none",
        ),
        config=deepspeed_config(config, world),
    )
    return engine


def leave_out_compiled_operators() -> None:
    """To be called before DeepSpeed makes or takes up a process group.

    Its exchange by shared memory would be compiled then: a minute, and only with a compiler.
    """
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _dimensions(parameter: nn.Parameter) -> int:
    """Of the whole parameter, where ZeRO-3 keeps a flat part of it."""
    shape = getattr(parameter, "ds_shape", parameter.shape)
    return len(shape)
