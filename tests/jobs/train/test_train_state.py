"""Training states in the store, without a model: complete or not there, kept or removed."""

from pathlib import Path

import pytest
import torch

from treespan.jobs.train.fragments import Fragment
from treespan.jobs.train.run_state import RunState
from treespan.jobs.train.train_state import DamagedStateError, TrainStates, Values
from treespan.platform.store import Store


@pytest.fixture
def states(tmp_path: Path) -> TrainStates:
    return TrainStates(Store(str(tmp_path)), "states")


def share(rank: int, world: int, size: int = 1000) -> list[Values]:
    """A parameter of ``size`` elements, each its own index, cut among the workers."""
    first, last = (size * place // world for place in (rank, rank + 1))
    fragment = Fragment("w", first, last - first)
    return [(fragment, "weight", torch.arange(first, last, dtype=torch.float32))]


def write(states: TrainStates, attempt: int, step: int, world: int, ranks: range) -> None:
    for rank in ranks:
        run = RunState() if rank == 0 else None
        states.write_share(attempt, step, (rank, world), share(rank, world), run)


@pytest.mark.parametrize("world", [1, 3, 128])
def test_a_state_is_complete_once_all_shares_are_there(states: TrainStates, world: int) -> None:
    write(states, 1, 10, world, range(world - 1))
    assert states.complete() == []
    write(states, 1, 10, world, range(world - 1, world))
    (state,) = states.complete()
    assert (state.step, state.world) == (10, world)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (3, 2), (2, 7), (128, 5)])
def test_any_cut_reads_what_any_other_wrote(states: TrainStates, before: int, after: int) -> None:
    write(states, 1, 10, before, range(before))
    (state,) = states.complete()
    for rank in range(after):
        ((wanted, _, expected),) = share(rank, after)
        found = torch.full((wanted.length,), -1.0)
        for at, quantity, values in states.read(state, [wanted], ["weight"]):
            assert quantity == "weight"
            found[at.start - wanted.start :][: at.length] = values
        assert torch.equal(found, expected)
    ((name, whole),) = states.whole(state, {"w": (10, 100)}, "weight")
    assert name == "w"
    assert torch.equal(whole, torch.arange(1000.0).view(10, 100))


def test_what_no_share_holds_is_missed_at_once(states: TrainStates) -> None:
    write(states, 1, 10, 2, range(2))
    (state,) = states.complete()
    with pytest.raises(DamagedStateError, match="lacks a part of w"):
        list(states.read(state, [Fragment("w", 990, 20)], ["weight"]))
    with pytest.raises(DamagedStateError, match="lacks a part of v"):
        list(states.read(state, [Fragment("v", 0, 1)], ["weight"]))


def test_another_try_never_completes_the_state_of_the_one_before(states: TrainStates) -> None:
    write(states, 1, 10, 2, range(1))
    write(states, states.next_attempt(), 10, 2, range(1, 2))
    assert states.complete() == []
    assert states.next_attempt() == 3


def test_the_newest_is_that_of_the_last_try(states: TrainStates) -> None:
    write(states, 1, 30, 1, range(1))
    write(states, 2, 20, 1, range(1))
    assert [state.step for state in states.complete()] == [20, 30]


def test_enough_states_stay_for_a_run_that_must_turn_back(states: TrainStates) -> None:
    for step in range(1, 9):
        write(states, 1, step, 1, range(1))
        states.keep_newest(2, reach_steps=4)
    assert [state.step for state in states.complete()] == [8, 7, 6, 5, 4]
    write(states, 1, 9, 1, range(1))
    states.keep_newest(2, reach_steps=1)
    assert [state.step for state in states.complete()] == [9, 8]


def test_shares_of_a_try_that_ended_are_removed(states: TrainStates) -> None:
    write(states, 1, 10, 2, range(1))
    for step in (10, 20, 30):
        write(states, 2, step, 1, range(1))
    states.keep_newest(2, reach_steps=1)
    assert len(states.store.list_folders("states")) == 2


def test_a_damaged_history_is_found(states: TrainStates) -> None:
    write(states, 1, 10, 1, range(1))
    (state,) = states.complete()
    path = Path(states.store.path(f"{state.folder}/run.json.gz"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedStateError, match="another hash"):
        states.read_run(state)
