"""Training states in the store: what a run needs to go on, on any number of workers.

    states/a003-step-00000300/share-00-of-02.arrow   fragments of weights and moments, by name
                              share-00-of-02.json    receipt: bytes, hash, and what is inside
                              ...
                              run.json.gz            what the run did so far; its hash is in the first receipt

Every worker publishes its own share and, after it, a receipt. A state is complete once the receipts
of all its workers are there, so nobody has to wait for the others, and a state that was cut short
is never mistaken for a whole one. The number of the attempt keeps shares apart that were written
before and after an interruption. Before a share is used its hash is compared.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from treespan.jobs.train.fragments import Fragment
from treespan.jobs.train.run_state import RunState
from treespan.platform.store import Store

EMA = "ema"
"""The quantity that holds the running mean of the weights, beside those of ``fragments``."""
_RUN = "run.json.gz"
_BATCH_ELEMENTS = 2**24
"""Elements of a record batch: 64 MiB are on their way to the store at once."""

_SHARE = pa.schema(
    [
        ("name", pa.string()),  # of the parameter
        ("quantity", pa.string()),  # weight, exp_avg, ...
        ("start", pa.int64()),  # of the first value within the flattened parameter
        ("values", pa.large_list(pa.float32())),
    ]
)

Values = tuple[Fragment, str, Tensor]
"""A fragment, the quantity, and its float32 values on the CPU."""


class DamagedStateError(Exception):
    """A share is not what its worker wrote, or lacks something."""


@dataclass(frozen=True)
class Receipt:
    """What one worker published."""

    rank: int
    bytes: int
    sha256: str
    fragments: tuple[Fragment, ...]
    run_sha256: str = ""  # of the first worker only


@dataclass(frozen=True)
class SavedState:
    """A complete state."""

    attempt: int
    step: int
    """Steps that were done: the one that comes next."""
    folder: str
    receipts: tuple[Receipt, ...]

    @property
    def world(self) -> int:
        """How many workers wrote it."""
        return len(self.receipts)


class TrainStates:
    """The states of one run, in a folder of the store."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store = store
        self.folder = folder

    def complete(self) -> list[SavedState]:
        """The complete states, newest first."""
        found = (self._read(folder) for folder in self.store.list_folders(self.folder))
        return sorted(
            (state for state in found if state is not None),
            key=lambda state: (state.attempt, state.step),
            reverse=True,
        )

    def next_attempt(self) -> int:
        """A number that no state has."""
        attempts = [_parse(folder)[0] for folder in self.store.list_folders(self.folder)]
        return max(attempts, default=0) + 1

    def write_share(
        self,
        attempt: int,
        step: int,
        place: tuple[int, int],
        values: Iterable[Values],
        run: RunState | None,
    ) -> None:
        """Publish the share of the worker at ``place`` (its rank, the number of workers)."""
        rank, world = place
        folder = f"{self.folder}/a{attempt:03d}-step-{step:08d}"
        fragments: dict[Fragment, None] = {}

        def batches() -> Iterator[pa.RecordBatch]:
            for fragment, quantity, tensor in values:
                fragments[fragment] = None
                yield from _batches_of(fragment, quantity, tensor)

        name = f"{folder}/share-{rank:02d}-of-{world:02d}"
        entry = self.store.write_table(f"{name}.arrow", _SHARE, batches())
        run_sha256 = ""
        if run is not None:
            run_sha256 = self.store.write_bytes(f"{folder}/{_RUN}", run.to_bytes()).sha256
        receipt = Receipt(rank, entry.bytes, entry.sha256, tuple(fragments), run_sha256)
        self.store.write_json(f"{name}.json", asdict(receipt))

    def read_run(self, state: SavedState) -> RunState:
        """What the run had done. Raises ``DamagedStateError``."""
        try:
            data = self.store.read_bytes(f"{state.folder}/{_RUN}")
        except OSError as error:
            raise DamagedStateError(f"{state.folder}: {error}") from None
        if hashlib.sha256(data).hexdigest() != state.receipts[0].run_sha256:
            raise DamagedStateError(
                f"{state.folder}/{_RUN} has another hash than when it was written"
            )
        return RunState.from_bytes(data)

    def read(
        self, state: SavedState, wanted: Sequence[Fragment], quantities: Sequence[str]
    ) -> Iterator[Values]:
        """The values of ``wanted``, whoever wrote them: pieces of it, in no certain order.

        Only shares that overlap with it are read, and each is verified before anything of it is
        given out. Raises ``DamagedStateError``, at once if something is missing.
        """
        by_name: defaultdict[str, list[Fragment]] = defaultdict(list)
        for fragment in wanted:
            by_name[fragment.name].append(fragment)
        _check_covered(wanted, state)
        with ExitStack() as stack:
            opened = [
                stack.enter_context(self._verified(state, receipt))
                for receipt in state.receipts
                if any(_overlaps(f, w) for f in receipt.fragments for w in by_name.get(f.name, ()))
            ]
            for reader in opened:
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    quantity = batch["quantity"][0].as_py()
                    name, start = batch["name"][0].as_py(), batch["start"][0].as_py()
                    if quantity not in quantities or name not in by_name:
                        continue
                    values = batch["values"][0].values.to_numpy()
                    held = Fragment(name, start, len(values))
                    for fragment in by_name[name]:
                        if _overlaps(held, fragment):
                            yield _common(held, fragment, values, quantity)

    def whole(
        self, state: SavedState, shapes: Mapping[str, Sequence[int]], quantity: str
    ) -> Iterator[tuple[str, Tensor]]:
        """Each parameter of ``shapes`` as float32, one at a time. Raises ``DamagedStateError``."""
        with ExitStack() as stack:
            readers = [stack.enter_context(self._verified(state, r)) for r in state.receipts]
            places: defaultdict[str, list[tuple[Any, int]]] = defaultdict(list)
            for reader in readers:
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    if batch["quantity"][0].as_py() == quantity:
                        places[batch["name"][0].as_py()].append((reader, number))
            for name, shape in shapes.items():
                flat = torch.empty(int(np.prod(shape)))
                _check_covered([Fragment(name, 0, flat.numel())], state)
                for reader, number in places[name]:
                    batch = reader.get_batch(number)
                    start, values = batch["start"][0].as_py(), batch["values"][0].values.to_numpy()
                    flat[start : start + len(values)] = torch.tensor(values)
                yield name, flat.view(*shape)

    def keep_newest(self, keep: int, reach_steps: int) -> None:
        """Remove all but the newest complete states, and what older attempts left unfinished.

        ``keep`` of them stay, and as many more as it takes for one to be ``reach_steps`` older than
        the newest: a run may have to turn back so far.
        """
        complete = self.complete()
        kept: list[SavedState] = []
        for state in complete:
            if len(kept) >= keep and kept[-1].step <= complete[0].step - reach_steps:
                break
            kept.append(state)
        if len(kept) == len(complete):
            return
        folders = {state.folder for state in kept}
        oldest = min((state.attempt, state.step) for state in kept)
        for folder in self.store.list_folders(self.folder):
            if folder not in folders and _parse(folder) < oldest:
                self.store.delete_folder(folder)

    def forget(self, state: SavedState) -> None:
        """Remove a state that turned out to be damaged."""
        self.store.delete_folder(state.folder)

    def forget_after(self, step: int) -> None:
        """Remove the states of steps after ``step``: the run turned back there."""
        for folder in self.store.list_folders(self.folder):
            if _parse(folder)[1] > step:
                self.store.delete_folder(folder)

    def _read(self, folder: str) -> SavedState | None:
        names = [path.rpartition("/")[2] for path in self.store.list_files(folder)]
        receipts = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        worlds = {int(name.rpartition("-of-")[2]) for name in receipts}
        for world in worlds:
            wanted = [f"share-{rank:02d}-of-{world:02d}.json" for rank in range(world)]
            if all(name in names for name in wanted):
                try:
                    read = tuple(self._receipt(f"{folder}/{name}") for name in wanted)
                except (ValueError, KeyError, TypeError):
                    return None  # a damaged receipt is as good as none
                return SavedState(*_parse(folder), folder, read)
        return None

    def _receipt(self, path: str) -> Receipt:
        values = self.store.read_json(path)
        fragments = tuple(Fragment(**fragment) for fragment in values.pop("fragments"))
        return Receipt(**values, fragments=fragments)

    @contextmanager
    def _verified(
        self, state: SavedState, receipt: Receipt
    ) -> Iterator[pa.ipc.RecordBatchFileReader]:
        """A share, opened once its hash has been found right."""
        path = f"{state.folder}/share-{receipt.rank:02d}-of-{state.world:02d}.arrow"
        try:
            if self.store.sha256(path) != receipt.sha256:
                raise DamagedStateError(f"{path} has another hash than when it was written")
            with self.store.open_table(path) as reader:
                yield reader
        except (OSError, pa.ArrowInvalid) as error:
            raise DamagedStateError(f"{path}: {error}") from None


def _batches_of(fragment: Fragment, quantity: str, values: Tensor) -> Iterator[pa.RecordBatch]:
    flat = values.numpy()
    for first in range(0, len(flat), _BATCH_ELEMENTS):
        part = flat[first : first + _BATCH_ELEMENTS]
        listed = pa.LargeListArray.from_arrays([0, len(part)], pa.array(part))
        columns = [[fragment.name], [quantity], [fragment.start + first], listed]
        yield pa.record_batch(columns, schema=_SHARE)


def _overlaps(one: Fragment, other: Fragment) -> bool:
    return (
        one.name == other.name
        and one.start < other.start + other.length
        and other.start < one.start + one.length
    )


def _common(held: Fragment, wanted: Fragment, values: Any, quantity: str) -> Values:
    first = max(held.start, wanted.start)
    last = min(held.start + held.length, wanted.start + wanted.length)
    part = torch.tensor(values[first - held.start : last - held.start])
    return Fragment(held.name, first, last - first), quantity, part


def _check_covered(wanted: Sequence[Fragment], state: SavedState) -> None:
    by_name: defaultdict[str, list[Fragment]] = defaultdict(list)
    for receipt in state.receipts:
        for fragment in receipt.fragments:
            by_name[fragment.name].append(fragment)
    for fragment in wanted:
        end = fragment.start
        for held in sorted(by_name[fragment.name], key=lambda f: f.start):
            if held.start <= end:
                end = max(end, held.start + held.length)
        if end < fragment.start + fragment.length:
            raise DamagedStateError(f"{state.folder} lacks a part of {fragment.name}")


def _parse(folder: str) -> tuple[int, int]:
    """The attempt and the step of a state, from the name of its folder."""
    attempt, _, step = folder.rpartition("/")[2].partition("-step-")
    return int(attempt[1:]), int(step)
