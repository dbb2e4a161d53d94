import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.step import list_repositories
from treespan.platform.ledger import Decision
from treespan.platform.store import Store

Read = tuple[list[dict[str, Any]], list[Decision]]


@pytest.fixture
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Read]:
    """Rows and decisions of the given sources, without Ray."""
    store = Store(str(tmp_path_factory.mktemp("store")))

    def run(*sources: dict[str, Any], **settings: Any) -> Read:
        config = IngestConfig.model_validate({"sources": sources, **settings})
        decisions: list[Decision] = []
        rows: list[dict[str, Any]] = []
        for repository in list_repositories(config, store):
            rows += read_repository(repository, config, decisions)
        return rows, decisions

    return run


@pytest.fixture(scope="session")
def git() -> Callable[..., str]:
    """Runs git's own command away from the user's settings; gives what it prints."""

    def run(
        *arguments: str, cwd: Path, author: str = "a <a@b.c>", date: str = "2024-01-01T00:00:00Z"
    ) -> str:
        name, _, email = author.partition(" <")
        environment = {
            **os.environ,
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email.rstrip(">"),
            "GIT_COMMITTER_NAME": "c",
            "GIT_COMMITTER_EMAIL": "c@b.c",
            "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_DATE": date,
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A repository's folder with some of everything."""
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("[core]\n")
    (root / "LICENSE").write_text(MIT)
    (root / "src" / "a.py").write_text("x = 1\n")
    (root / "src" / "b.py").write_text("# SPDX-License-Identifier: GPL-2.0\n")
    (root / "tests" / "test_a.py").write_text("def test(): pass\n")
    (root / "big.txt").write_text("x" * 5000)
    (root / "image.png").write_bytes(b"\x89PNG\r\n")
    (root / "latin.py").write_bytes("# ä".encode("latin-1"))
    (root / "zero.dat").write_bytes(b"a\0b")
    (root / "link.py").symlink_to("src/a.py")
    return root


MIT = """MIT License

Copyright (c) 2024 A. Body

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
