"""The repositories to measure on, and real text put together as one repository of a given size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from treespan.jobs.graph.read import (
    files_step,
    folder_files,
    repositories_of,
    source_files,
    total_bytes,
)
from treespan.jobs.graph.source_file import SourceFile
from treespan.platform.run_record import read_run
from treespan.platform.store import Store

Repository = tuple[str, Sequence[SourceFile]]
"""A name and the files."""


def repositories(place: str) -> Iterator[Repository]:
    """The repositories of a store, or the folder as one."""
    if not Path(place, "runs").is_dir():
        yield place, folder_files(Path(place))
        return
    store = Store(place)
    for part in files_step(read_run(store).steps).files("files"):
        table = store.read_table(part, ["repo", "path", "language", "content"])
        for repo, rows in repositories_of(table):
            yield repo, source_files(rows)


def some_of(found: Iterable[Repository], most_bytes: int) -> list[Repository]:
    """Repositories until their text is of ``most_bytes``, none with more than a tenth of it.

    The tenth (ours) keeps one large repository from being the whole corpus.
    """
    taken: list[Repository] = []
    left = most_bytes
    for repo, files in found:
        part = _first_bytes(files, min(left, most_bytes // 10))
        if part:
            taken.append((repo, part))
            left -= total_bytes(part)
        if left < most_bytes // 100:
            break
    return taken


def one_repository(found: Iterable[Repository], share: float) -> list[SourceFile]:
    """The first ``share`` of each repository's text, as folders of one large repository.

    Each size has a similar mix of languages, and no text twice: copies would make every name
    ambiguous.
    """
    return [
        replace(file, path=f"{number}/{file.path}")
        for number, (_, files) in enumerate(found)
        for file in _first_bytes(files, share * total_bytes(files))
    ]


def _first_bytes(files: Sequence[SourceFile], most: float) -> list[SourceFile]:
    sizes = accumulate(total_bytes([file]) for file in files)
    return [file for file, size in zip(files, sizes, strict=True) if size <= most]
