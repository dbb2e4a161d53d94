"""Sinks: what arrives in real trackers, and that none of them can end or hold up training."""

import struct
import threading
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.jobs.train.records import facts, record, timing, validation

from treespan.jobs.train.config import MetricsConfig
from treespan.jobs.train.metrics import trackers
from treespan.jobs.train.metrics.figures import Figure
from treespan.jobs.train.metrics.sink import FigureSink, Sink
from treespan.jobs.train.metrics.trackers import open_sinks, prepared
from treespan.platform.errors import UserError


class Kept:
    """A writer that keeps what it gets."""

    def __init__(self) -> None:
        self.written: list[tuple[int, Mapping[Figure, float]]] = []
        self.closed = False

    def write(self, step: int, figures: Mapping[Figure, float]) -> None:
        self.written.append((step, figures))

    def close(self) -> None:
        self.closed = True


def train(sinks: list[Sink], steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        measured = validation(6.0) if step == 5 else {}
        for sink in sinks:
            sink.record(record(step, validation=measured), timing())
    for sink in sinks:
        sink.close()


def sink_of(writer: Callable[[int], object], said: list[str], every: int = 1) -> FigureSink:
    return FigureSink("Kept", writer, facts(), every, said.append)  # type: ignore[arg-type]


def test_every_so_many_steps_and_whatever_must_not_be_missed() -> None:
    kept, said, first = Kept(), list[str](), list[int]()

    def opened(step: int) -> Kept:
        first.append(step)
        return kept

    train([sink_of(opened, said, every=40)], 100)
    assert [step for step, _ in kept.written] == [5, 39, 79, 99]
    assert first == [5]
    assert kept.closed
    assert said == []


def test_a_tracker_that_fails_is_left_out_and_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123secret")

    class Broken(Kept):
        def write(self, step: int, figures: Mapping[Figure, float]) -> None:
            super().write(step, figures)
            if step == 3:
                raise ConnectionError("no answer to key 0123secret\nand more")

    broken, kept, said = Broken(), Kept(), list[str]()
    train([sink_of(lambda _: broken, said), sink_of(lambda _: kept, said)], 10)
    assert len(kept.written) == 10
    assert len(broken.written) == 4
    assert said == ["Kept is left out from here on: ConnectionError: no answer to key ***"]


@pytest.mark.parametrize("error", [ValueError("no such project"), SystemExit(1)])
def test_a_tracker_that_cannot_be_opened_is_left_out(error: BaseException) -> None:
    said: list[str] = []

    def refuse(_: int) -> Kept:
        raise error

    train([sink_of(refuse, said)], 5)
    assert len(said) == 1
    assert type(error).__name__ in said[0]


def test_a_tracker_that_does_not_answer_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("treespan.jobs.train.metrics.sink._WAITING", 4)
    monkeypatch.setattr("treespan.jobs.train.metrics.sink._PATIENCE_S", 0.01)
    answered, said = threading.Event(), list[str]()

    class Stuck(Kept):
        def write(self, step: int, figures: Mapping[Figure, float]) -> None:
            answered.wait()
            super().write(step, figures)

    stuck = Stuck()
    try:
        train([sink_of(lambda _: stuck, said)], 50)
        assert stuck.written == []
        assert said == [
            "Kept is too slow: some steps will be missing there.",
            "Kept does not answer: its last steps were given up.",
        ]
    finally:
        answered.set()


def events(folder: Path) -> dict[str, dict[int, float]]:
    """The scalars of TensorBoard's files: records are length, checksum, bytes, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.*")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = value.simple_value
            at += length + 16
    return found


def test_tensorboard(tmp_path: Path) -> None:
    train(open_sinks(MetricsConfig(tensorboard=str(tmp_path)), facts()), 10)
    found = events(tmp_path / "small-0123")
    assert found["loss"] == pytest.approx({step: record(step).loss for step in range(10)})
    assert set(found["validation_loss"]) == {5}
    assert found["loss_by_language/Cpp"].keys() == set(range(10))
    # A resumed run writes on in the same folder.
    train(open_sinks(MetricsConfig(tensorboard=str(tmp_path)), facts()), 4, first=8)
    assert set(events(tmp_path / "small-0123")["loss"]) == set(range(12))


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is an extra, not installed")
def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    said: list[str] = []
    config = MetricsConfig(mlflow_uri=str(tmp_path / "runs"))
    train(open_sinks(config, facts(), said.append), 10)
    train(open_sinks(config, facts(), said.append), 4, first=8)
    assert said == []
    client = MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
    experiment = client.get_experiment_by_name("treespan")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "0"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert {metric.step: metric.value for metric in history} == pytest.approx(
        {step: record(step).loss for step in range(12)}
    )
    assert client.get_metric_history(run.info.run_id, "loss_by_language/Cpp")


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is an extra, not installed")
def test_weights_and_biases_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    said: list[str] = []
    train(open_sinks(MetricsConfig(wandb_project="code"), facts(), said.append), 10)
    assert said == []
    (written,) = tmp_path.glob("wandb/offline-run-*/run-small-0123.wandb")
    data = written.read_bytes()
    for name in (b"loss_by_language/Cpp", b"validation_loss", b"tokens_per_second"):
        assert name in data


def test_what_is_missing_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    for config, fix in (
        (MetricsConfig(wandb_project="code"), "pip install 'treespan[wandb]'"),
        (MetricsConfig(mlflow_uri="http://127.0.0.1:1"), "pip install 'treespan[mlflow]'"),
        (MetricsConfig(tensorboard="s3://bucket/tb"), "pip install boto3"),
    ):
        with pytest.raises(UserError) as caught:
            prepared(config)
        assert fix in caught.value.fix


def test_packages_within_packages_that_are_missing() -> None:
    with pytest.raises(UserError, match="which is not installed"):
        trackers._need("no_such_package.part", "a setting", "it")


def test_no_key_is_said_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: name)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(UserError, match="WANDB_MODE=offline"):
        open_sinks(MetricsConfig(wandb_project="code"), facts())


@pytest.mark.parametrize("folder", ["hdfs://host/tb", "s3://bucket/tb?scheme=http"])
def test_folders_that_tensorboard_cannot_write(folder: str) -> None:
    with pytest.raises(UserError, match="tensorboard"):
        prepared(MetricsConfig(tensorboard=folder))


def test_workers_get_absolute_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trackers, "find_spec", lambda name: name)
    found = prepared(MetricsConfig(tensorboard="tb", mlflow_uri="runs"))
    assert found.tensorboard == str(tmp_path / "tb")
    assert found.mlflow_uri == (tmp_path / "runs").as_uri()
    assert prepared(found) == found
