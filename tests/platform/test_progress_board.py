"""What workers post and say reaches the person who watches."""

import pytest
import ray

from treespan.platform import progress as module
from treespan.platform.progress import Progress
from treespan.platform.progress_board import watched_board

pytestmark = pytest.mark.ray


def test_notes_and_messages(
    ray_cluster: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "LOG_INTERVAL_S", 0.0)
    with Progress() as progress, watched_board(progress, "train", 10) as board:
        board.say.remote("an update was left out")
        ray.get(board.post.remote(7, "loss 4.2", 90.0))
        board.say.remote("and another")
    # All of it, though the block ended before the board was looked at.
    assert capsys.readouterr().err.splitlines() == [
        "  train: an update was left out",
        "  train: and another",
        "  train: 7/10 loss 4.2  2 min left",
    ]
