"""Rows of an embedding, or of an output projection, for tokens that a trained model did not have.

A new row is the mean of the trained ones plus a little noise of their covariance (Hewitt 2021,
"Initializing New Word Embeddings for Pretrained Language Models"). With the mean, whatever the
hidden state is, a new token's share of the probability is at most about that of an average token;
a fresh draw near zero may take most of it where all logits are negative. The noise, 1e-5 of the
covariance as there, tells new tokens apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from treespan.platform.draws import hash64

_NOISE = 1e-5
_ROWS_AT_ONCE = 4096
"""Of the trained rows in float64, which bounds memory."""


@torch.no_grad()
def with_added_rows(
    matrix: Tensor, trained: Sequence[int], added: Mapping[str, int], rows: int, key: str
) -> Tensor:
    """``matrix`` ``[V, D]`` with ``rows`` >= V rows, in which those of ``added`` are set.

    ``trained`` are the rows whose mean and covariance count. ``added`` has the rows of new tokens
    by name, below V (spare ones) or not. Further new rows, of no token, get the mean. The noise of
    a token is a hash of ``key`` and its name. Other rows keep their bits.
    """
    if not added and rows == len(matrix):
        return matrix
    known = torch.tensor(trained)
    chunks = [slice(n, n + _ROWS_AT_ONCE) for n in range(0, len(known), _ROWS_AT_ONCE)]
    total = torch.zeros(matrix.shape[1], dtype=torch.float64)
    for chunk in chunks:
        total += matrix[known[chunk]].double().sum(0)
    mean = total / len(trained)
    grown = torch.empty((rows, matrix.shape[1]), dtype=matrix.dtype)
    grown[: len(matrix)] = matrix
    grown[len(matrix) :] = mean.to(matrix.dtype)
    if added:
        # Sums of the centred rows by independent draws have their covariance.
        draws = torch.stack([_draws(key, name, len(trained)) for name in added])
        sums = torch.zeros(len(added), matrix.shape[1], dtype=torch.float64)
        for chunk in chunks:
            sums += draws[:, chunk] @ (matrix[known[chunk]].double() - mean)
        noise = (_NOISE / len(trained)) ** 0.5 * sums
        grown[list(added.values())] = (mean + noise).to(matrix.dtype)
    return grown


def _draws(key: str, name: str, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(hash64("added row", key, name))
    return torch.randn(count, generator=generator, dtype=torch.float64)
