"""Content-addressed steps: what changes a key, and what a killed step leaves."""

from pathlib import Path

import pytest

from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.run_record import read_run, write_run
from treespan.platform.steps import Context, Output, Result, Step, execute, published
from treespan.platform.store import Store
from treespan.platform.summary import as_json


def make(
    text: str = "x", *, version: int = 1, inputs: tuple[str, ...] = (), outside: int = 0
) -> Step:
    def run(context: Context) -> Result:
        context.store.write_bytes(f"{context.work}/scratch", b"scratch")
        below = "".join(output.digest for output in context.inputs.values())
        entry = context.store.write_bytes(f"{context.folder}/data/out", (text + below).encode())
        return Result([entry], {"bytes": entry.bytes}, {"speed": 1.5})

    return Step(
        name="b" if inputs else "a",
        version=version,
        params={"text": text},
        run=run,
        inputs=inputs,
        fingerprint=lambda store: outside,
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def run(step: Step, store: Store, **inputs: Output) -> Output:
    return published(step, store, inputs) or execute(step, store, inputs, Progress(quiet=True))


def test_published_once(store: Store) -> None:
    assert published(make(), store, {}) is None
    first = run(make(), store)
    assert published(make(), store, {}) == first
    assert store.list_files(first.folder) == [
        f"{first.folder}/data/out",
        f"{first.folder}/manifest.json",
    ]
    assert first.files("data") == [f"{first.folder}/data/out"]


def test_the_key_covers_settings_version_inputs_and_the_outside(store: Store) -> None:
    a, other = run(make(), store), run(make("y"), store)
    folders = {
        a.folder,
        other.folder,
        run(make(version=2), store).folder,
        run(make(outside=1), store).folder,
        run(make(inputs=("a",)), store, a=a).folder,
        run(make(inputs=("a",)), store, a=other).folder,
    }
    assert len(folders) == 6


def test_equal_inputs_from_elsewhere_are_equal(store: Store) -> None:
    """A key takes the digests of inputs, not their keys: what is equal is not done again."""
    a, again = run(make(), store), run(make(version=2), store)
    assert a.digest == again.digest
    assert (
        run(make(inputs=("a",)), store, a=a).folder
        == run(make(inputs=("a",)), store, a=again).folder
    )


def test_files_of_times_are_listed_and_change_no_digest(store: Store) -> None:
    def timed(version: int, seconds: str) -> Output:
        def work(context: Context) -> Result:
            entry = context.store.write_bytes(f"{context.folder}/out", b"equal")
            times = context.store.write_bytes(f"{context.folder}/times", seconds.encode())
            return Result([entry], {}, varying_files=[times])

        return run(Step(name="a", version=version, params={}, run=work), store)

    slow, fast = timed(1, "9.5"), timed(2, "0.1")
    assert slow.digest == fast.digest
    for output in (slow, fast):
        assert [entry["path"] for entry in output.manifest["files"]] == ["out"]
        assert [entry["path"] for entry in output.manifest["varying_files"]] == ["times"]


def test_a_step_that_dies_is_not_published(store: Store) -> None:
    def fail(context: Context) -> Result:
        context.store.write_bytes(f"{context.folder}/data/out", b"half")
        raise RuntimeError("killed")

    step = Step(name="a", version=1, params={}, run=fail)
    with pytest.raises(RuntimeError):
        execute(step, store, {}, Progress(quiet=True))
    assert published(step, store, {}) is None


def test_run_record_and_json(store: Store) -> None:
    with pytest.raises(UserError, match="no run"):
        read_run(store)
    a = run(make(), store)
    write_run(store, "mine", {"a": a}, ("a", "b"))
    write_run(store, "later", {"a": a}, ("a",))
    assert read_run(store).name == "later"
    found = read_run(store, "mine")
    assert found.pending == ("b",)
    shown = as_json(found)["steps"]
    assert shown["b"] == {"status": "pending"}
    assert shown["a"]["digest"] == a.digest
    assert shown["a"]["status"] == "done"
    with pytest.raises(UserError, match="'nosuch'"):
        read_run(store, "nosuch")


def test_a_damaged_manifest_is_named(store: Store) -> None:
    a = run(make(), store)
    store.write_bytes(f"{a.folder}/manifest.json", b"{")
    with pytest.raises(UserError, match="damaged"):
        published(make(), store, {})
