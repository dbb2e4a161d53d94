"""Ways to read sequences longer than a model was first trained with, by slower rotary angles.

The kinds are those that Hugging Face's Llama and Qwen2 compute and that do not depend on the length
of the sequence at hand; ``rope`` has the formulas. (``dynamic`` does depend on it: keys in a cache
would have to turn again whenever a sequence grows.)
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from treespan.platform.config import Config


class LinearScaling(Config):
    """Position interpolation: all angles divided by one factor (arXiv 2306.15595)."""

    kind: Literal["linear"] = "linear"
    """All wavelengths alike."""
    factor: float = Field(ge=1)
    """How many times longer sequences may be."""


class YarnScaling(Config):
    """YaRN (arXiv 2309.00071): short wavelengths stay, long ones are divided, a ramp between."""

    kind: Literal["yarn"] = "yarn"
    """By wavelength, with sharper attention."""
    factor: float = Field(ge=1)
    """How many times longer sequences may be."""
    original_positions: int = Field(gt=0)
    """The longest sequence of the first training, in tokens."""
    attention_factor: float | None = Field(default=None, gt=0)
    """Cosines and sines are multiplied by it; by default 1 + 0.1 ln(factor), section 3.4."""
    beta_fast: float = Field(default=32.0, gt=0)
    """Wavelengths that turn more often than this in the original length stay as they are."""
    beta_slow: float = Field(default=1.0, gt=0)
    """Those that turn less often are divided by the whole factor."""
    truncate: bool = True
    """Whether the ends of the ramp are rounded outwards to whole channels."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.beta_fast <= self.beta_slow:
            raise ValueError(
                f"beta_fast {self.beta_fast} is not greater than beta_slow {self.beta_slow}; "
                f"the paper's are 32 and 1"
            )
        return self


class Llama3Scaling(Config):
    """Llama 3.1's ramp between kept and divided wavelengths (arXiv 2407.21783, and its code)."""

    kind: Literal["llama3"] = "llama3"
    """By wavelength."""
    factor: float = Field(ge=1)
    """Long wavelengths are divided by it."""
    original_positions: int = Field(gt=0)
    """The longest sequence of the first training, in tokens."""
    low_frequency_factor: float = Field(default=1.0, gt=0)
    """Wavelengths longer than original_positions divided by this are scaled in full."""
    high_frequency_factor: float = Field(default=4.0, gt=0)
    """Those shorter than original_positions divided by this stay as they are."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.high_frequency_factor <= self.low_frequency_factor:
            raise ValueError(
                f"high_frequency_factor {self.high_frequency_factor} is not greater than "
                f"low_frequency_factor {self.low_frequency_factor}; Llama's are 4 and 1"
            )
        return self


RopeScaling = Annotated[LinearScaling | YarnScaling | Llama3Scaling, Field(discriminator="kind")]
"""One of the kinds, told apart by ``kind``."""
