"""Workers that share rows, as processes over gloo, against one process with whole rows."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from treespan.model.attention import document_ids, document_positions
from treespan.model.config import ModelConfig
from treespan.model.loss import IGNORED, token_losses
from treespan.model.packed_attention import packed_rows
from treespan.model.sequence_parallel import SequenceGroup, check_shareable, sequence_group
from treespan.model.transformer import Transformer, init_weights
from treespan.platform.errors import UserError

WORLD = 4
DOCUMENTS = [[9, 20, 3], [32], [1, 30]]
CASES = {
    "two workers, packed": (2, 8, 2, True),
    "four workers, fewer key heads": (4, 8, 2, True),
    "four workers, six heads of which three are keys": (4, 12, 3, True),
    "four workers, whole rows": (4, 8, 4, False),
}
"""Workers that share a row, heads, key heads, whether documents are packed."""


def make(heads: int, kv_heads: int) -> Transformer:
    config = ModelConfig(
        vocab_size=53,
        hidden_size=8 * heads,
        intermediate_size=40,
        num_layers=2,
        num_heads=heads,
        num_kv_heads=kv_heads,
        max_positions=64,
        init_std=0.2,
    )
    model = Transformer(config)
    init_weights(model, 0)
    model.checkpoint_activations = True
    return model


def run(
    model: Transformer, group: SequenceGroup | None, rows: slice, *, packed: bool
) -> dict[str, Tensor]:
    """Hidden states of this worker's part, and the gradients of the sum of its losses."""
    documents = document_ids(DOCUMENTS, 32)[rows]
    positions = document_positions(documents) if packed else torch.arange(32).expand(3, 32)[rows]
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(53, (3, 33), generator=generator)[rows]
    given, targets = tokens[:, :-1], tokens[:, 1:].clone()
    targets[:, 5] = IGNORED
    if group is not None:
        given, targets, positions = (group.part(t) for t in (given, targets, positions))
        model.sequence_group = group
    hidden = model(given, positions, packed_rows(documents) if packed else None)
    loss = token_losses(hidden, model.output_weight, targets).sum()
    names, weights = zip(*model.named_parameters(), strict=True)
    gradients = dict(zip(names, torch.autograd.grad(loss, weights), strict=True))
    return {"hidden": hidden.detach(), **gradients}


def work(rank: int, folder: str) -> None:
    """One process: all cases, results to a file."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=WORLD)
    groups = {size: sequence_group(size) for size in (2, 4)}
    found: dict[str, Any] = {}
    for name, (size, heads, kv_heads, packed) in CASES.items():
        # With two groups of two, the first takes two rows and the second takes one.
        rows = slice(0, 3) if size == WORLD else (slice(0, 2), slice(2, 3))[rank // 2]
        found[name] = run(make(heads, kv_heads), groups[size], rows, packed=packed)
    torch.save(found, f"{folder}/{rank}")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What each of four workers found, by case."""
    folder = str(tmp_path_factory.mktemp("shared"))
    # One process imports torch, and its forks have it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    workers = [context.Process(target=work, args=(rank, folder)) for rank in range(WORLD)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    return [torch.load(Path(folder, str(rank)), weights_only=True) for rank in range(WORLD)]


@pytest.mark.parametrize("case", CASES)
def test_shared_rows_give_what_whole_rows_give(
    shared: list[dict[str, dict[str, Tensor]]], case: str
) -> None:
    size, heads, kv_heads, packed = CASES[case]
    expected = run(make(heads, kv_heads), None, slice(0, 3), packed=packed)
    found = [worker[case] for worker in shared]
    parts = [
        torch.cat([one["hidden"] for one in found[i : i + size]], 1) for i in (0, 2)[: 4 // size]
    ]
    torch.testing.assert_close(torch.cat(parts), expected.pop("hidden"), atol=1e-5, rtol=1e-5)
    assert len(expected) == 21
    for name, gradient in expected.items():
        total = sum(one[name] for one in found)
        difference = (total - gradient).abs().max()
        assert difference <= 1e-5 * max(1.0, float(gradient.abs().max())), name


def test_what_does_not_divide_is_refused() -> None:
    group = SequenceGroup(None, 0, 3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="rows of 32 tokens cannot be shared by 3 workers"):
        check_shareable(make(8, 2).config, 32, 3)
    with pytest.raises(UserError, match="8 heads cannot be shared by 3 workers"):
        check_shareable(make(8, 2).config, 32 * 3, 3)
    model = make(8, 2)
    model.sequence_group = group
    with pytest.raises(ValueError, match="needs its positions"):
        model(torch.zeros(1, 4, dtype=torch.int64))
