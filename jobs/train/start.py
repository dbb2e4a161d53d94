"""The weights that a run starts from: fresh draws, or those of an open model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from treespan.jobs.train.config import TrainConfig
from treespan.model.config import ModelConfig
from treespan.model.starting_weights import (
    fit_vocabulary,
    fitted_vocab_size,
    read_starting_weights,
)
from treespan.model.tokenizer import Tokenizer
from treespan.model.transformer import Transformer, drawn_weights
from treespan.platform.errors import UserError


@dataclass(frozen=True)
class StartingPoint:
    """A shape, and where its weights come from. Cheap to send to a worker."""

    model_config: ModelConfig
    seed: int
    path: str | None
    tokenizer_json: str

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Names of ``Transformer`` and whole tensors; a tied output projection is left out."""
        if self.path is not None:
            opened = read_starting_weights(self.path)
            tokenizer = Tokenizer(self.tokenizer_json)
            yield from fit_vocabulary(opened, tokenizer, seed=self.seed)
            return
        with torch.device("meta"):
            model = Transformer(self.model_config)
        yield from drawn_weights(model, self.seed)


def starting_point(config: TrainConfig, tokenizer: Tokenizer) -> StartingPoint:
    """Where ``config`` starts. Raises ``UserError`` for weights that cannot be read."""
    if config.start_from is None:
        shape = config.shape(tokenizer.vocab_size)
    else:
        opened = read_starting_weights(config.start_from)
        fit_vocabulary(opened, tokenizer)  # raises here rather than on a worker
        rows = fitted_vocab_size(opened.config, tokenizer)
        shape = opened.config.model_copy(update={"vocab_size": rows})
    return StartingPoint(shape, config.seed, _absolute(config.start_from), tokenizer.serialized)


def shape_of_start(path: str, seq_len: int) -> ModelConfig:
    """The shape of the weights at ``path``, as they are, for rows of ``seq_len`` tokens.

    Raises ``UserError`` for weights that cannot be read, and rows that are longer than the model
    has positions.
    """
    shape = read_starting_weights(path).config
    if seq_len > shape.max_positions:
        raise UserError(
            f"pack.seq_len {seq_len} exceeds the {shape.max_positions} positions of {path}.",
            "Lower it, or choose another model.",
        )
    return shape


def _absolute(path: str | None) -> str | None:
    """Workers may have been started in another folder."""
    return path if path is None or "://" in path else str(Path(path).expanduser().absolute())
