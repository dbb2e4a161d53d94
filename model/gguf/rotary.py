"""How rotary angles are scaled, as a GGUF says it: by keys, and Llama 3's way by a tensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from gguf import Keys
from torch import Tensor

from treespan.model.config import ModelConfig
from treespan.model.rope import angular_frequencies
from treespan.model.rope_scaling import Llama3Scaling, YarnScaling
from treespan.platform.errors import UserError

FACTORS = "rope_freqs.weight"
"""The tensor of what each pair's frequency is divided by: float32 ``[head_dim / 2]``."""

_KEYS = Keys.Rope
_CLOSE = 1e-4
"""Greatest relative difference of factors that count as the same (ours): they are float32."""


def scaling_fields(config: ModelConfig) -> dict[str, Any]:
    """Keys, with ``{arch}`` in them, for ``config.rope_scaling``.

    Raises ``UserError`` for YaRN without truncation, which llama.cpp does not have.
    """
    scaling = config.rope_scaling
    if scaling is None or isinstance(scaling, Llama3Scaling):
        return {}
    fields: dict[str, Any] = {
        _KEYS.SCALING_TYPE: scaling.kind,
        _KEYS.SCALING_FACTOR: scaling.factor,
    }
    if isinstance(scaling, YarnScaling):
        if not scaling.truncate:
            raise UserError(
                "YaRN without truncation cannot be said in a GGUF.", "Export with --format hf."
            )
        fields[_KEYS.SCALING_ORIG_CTX_LEN] = scaling.original_positions
        fields[_KEYS.SCALING_YARN_BETA_FAST] = scaling.beta_fast
        fields[_KEYS.SCALING_YARN_BETA_SLOW] = scaling.beta_slow
        if scaling.attention_factor is not None:
            # llama.cpp multiplies what it finds here by the factor that is the default.
            usual = 1 + 0.1 * math.log(scaling.factor)
            fields[_KEYS.SCALING_YARN_ATTN_FACTOR] = scaling.attention_factor / usual
    return fields


def scaling_factors(config: ModelConfig) -> Tensor | None:
    """The tensor ``FACTORS`` for Llama 3's scaling; None for any other."""
    if not isinstance(config.rope_scaling, Llama3Scaling):
        return None
    return _plain(config) / angular_frequencies(config)


def scaling_values(
    fields: Mapping[str, Any], architecture: str, where: str
) -> dict[str, Any] | None:
    """``ModelConfig.rope_scaling`` by the keys of a file; None where they scale nothing."""

    def value(key: str) -> Any:
        return fields.get(key.format(arch=architecture))

    kind = value(_KEYS.SCALING_TYPE)
    if kind in (None, "none"):
        return None
    if kind not in ("linear", "yarn"):
        raise UserError(
            f"{where}: rope scaling {kind!r} is not implemented.", "Give another model."
        )
    found = {"kind": kind, "factor": value(_KEYS.SCALING_FACTOR)}
    if kind == "yarn":
        found["original_positions"] = value(_KEYS.SCALING_ORIG_CTX_LEN)
        found["beta_fast"] = value(_KEYS.SCALING_YARN_BETA_FAST)
        found["beta_slow"] = value(_KEYS.SCALING_YARN_BETA_SLOW)
        if (attention := value(_KEYS.SCALING_YARN_ATTN_FACTOR)) is not None:
            usual = 1 + 0.1 * math.log(found["factor"])
            found["attention_factor"] = round(attention * usual, 6)
    return {key: number for key, number in found.items() if number is not None}


def with_factors(config: ModelConfig, factors: Tensor, where: str) -> ModelConfig:
    """``config`` with the ``Llama3Scaling`` that has these ``factors``.

    Its settings are found from the ramp. There the inverse factor grows linearly with a frequency;
    its slope and its start give all but the scale of the two frequency factors, which nothing
    depends on, so that the low one is taken to be 1. Raises ``UserError`` where no setting fits.
    """
    factor = float(factors.max())
    plain = _plain(config).double() / (2 * math.pi)
    share = (1 / factors.double() - 1 / factor) / (1 - 1 / factor)
    ramp = (share > 0.001) & (share < 0.999)
    if int(ramp.sum()) > 1:
        columns = torch.stack([plain[ramp], torch.ones_like(plain[ramp])], dim=1)
        slope, start = torch.linalg.lstsq(columns, share[ramp, None]).solution[:, 0].tolist()
        if start < 0 < slope:
            scaling = Llama3Scaling(
                factor=round(factor, 4),
                original_positions=max(1, round(-slope / start)),
                high_frequency_factor=round(1 - 1 / start, 4),
            )
            found = config.model_copy(update={"rope_scaling": scaling})
            again = scaling_factors(found)
            if again is not None and torch.allclose(again, factors.float(), rtol=_CLOSE, atol=0):
                return found
    raise UserError(
        f"{where}: the factors in {FACTORS} are not those of Llama 3, which is all that is "
        f"implemented.",
        "Give another model.",
    )


def _plain(config: ModelConfig) -> Tensor:
    return angular_frequencies(config.model_copy(update={"rope_scaling": None}))
