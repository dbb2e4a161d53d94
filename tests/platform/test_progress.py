"""Estimates of the end: of whoever knows, in words, on a terminal and in a log."""

import io
import time

import pytest
from rich.console import Console

from treespan.platform import progress as module
from treespan.platform.progress import Progress, in_time


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s left"),
        (59.4, "59 s left"),
        (59.6, "1 min left"),
        (3599, "1 h 00 min left"),
        (2 * 3600 + 301, "2 h 05 min left"),
        (75 * 3600, "3 days 3 h left"),
    ],
)
def test_time_in_words(seconds: float, said: str) -> None:
    assert in_time(seconds) == said


def test_a_log_has_the_estimate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "LOG_INTERVAL_S", 0.0)
    with Progress() as progress, progress.bar("train", 1000) as bar:
        bar.advance(800, "loss 4.2", seconds_left=90)
        bar.advance(1, "loss 4.1")
    assert capsys.readouterr().err.splitlines() == [
        "  train: 800/1000 loss 4.2  2 min left",
        "  train: 801/1000 loss 4.1",
    ]


def test_a_terminal_shows_the_estimate_of_who_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that resumes at step 800 must not be told to end at once."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    progress = Progress()
    assert progress._bars is not None
    shown = io.StringIO()
    console = Console(file=shown, width=160)
    with progress.bar("train", 1000) as bar:
        bar.advance(800, "loss 4.2", seconds_left=7200)
        console.print(progress._bars.get_renderable())
        now += 1200
        console.print(progress._bars.get_renderable())
        bar.advance(1, "loss 4.1")
        console.print(progress._bars.get_renderable())
    first, later, without = shown.getvalue().splitlines()
    assert "800/1000" in first
    assert "2 h 00 min left" in first
    assert "1 h 40 min left" in later
    assert "left" not in without
