"""How long checkpoints take: the folder that serves, and the training state."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from benchmarks.gpu.engine import start_engine
from benchmarks.gpu.figures import Recorder
from benchmarks.gpu.scales import Scale

from treespan.jobs.train.fragments import QUANTITIES, holding_of
from treespan.jobs.train.run_state import RunState
from treespan.jobs.train.train_state import TrainStates
from treespan.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from treespan.model.fim_format import FimFormat
from treespan.model.tokenizer import train
from treespan.platform.store import Store


def measure(scale: Scale, found: Recorder) -> None:
    """Seconds and GB/s, written and read; reading may come from the page cache."""
    shape = scale.stored
    engine = start_engine(
        shape,
        scale.device,
        micro_batch=1,
        zero_stage=1,
        offload=False,
        recompute=False,
        compiled=False,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _served(scale, engine.module.transformer, folder / "served", found)
        _training_state(engine, folder / "state", found)


def _training_state(engine: Any, folder: Path, found: Recorder) -> None:
    """What training waits for, what a thread does meanwhile, and what a resume takes."""
    folder.mkdir()
    holding, states = holding_of(engine), TrainStates(Store(str(folder)), "states")
    holding.make_moments(updates=1)
    started = time.perf_counter()
    values = [
        (fragment, quantity, holding.view(fragment, quantity).detach().cpu().clone())
        for fragment in holding.owned
        for quantity in QUANTITIES
    ]
    found.show("training state, copied while training waits", time.perf_counter() - started, "s")

    def write() -> None:
        states.write_share(1, 1, (0, 1), values, RunState())

    def read() -> None:
        for fragment, quantity, part in states.read(
            states.complete()[0], holding.fragments, QUANTITIES
        ):
            holding.write(fragment, quantity, part)
        holding.commit()

    _timed("training state, written", write, folder, found)
    _timed("training state, read", read, folder, found)


def _served(scale: Scale, model: torch.nn.Module, folder: Path, found: Recorder) -> None:
    fim_format = FimFormat()
    texts = [Path(__file__).read_text(encoding="utf-8")]
    tokenizer = train(texts, vocab_size=400, special_tokens=fim_format.special_tokens())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def write() -> None:
        save_checkpoint(folder, scale.stored, model.state_dict(), tokenizer, fim_format, {})

    _timed("checkpoint, written", write, folder, found)
    loaded: list[Checkpoint] = []
    _timed(
        "checkpoint, read",
        lambda: loaded.append(load_checkpoint(folder, device=scale.device)),
        folder,
        found,
    )
    after = loaded[0].model.state_dict()
    changed = sum(not torch.equal(tensor, after[name]) for name, tensor in before.items())
    found.at_most("tensors of the checkpoint that changed", changed, 0)


def _timed(what: str, call: Callable[[], object], folder: Path, found: Recorder) -> None:
    started = time.perf_counter()
    call()
    taken = time.perf_counter() - started
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    found.show(what, taken, "s")
    found.show(f"{what}, rate", size / taken / 1e9, "GB/s")
