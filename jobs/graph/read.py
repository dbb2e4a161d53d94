"""The files of one repository, from a store or from a folder on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.ingest.repository import printable
from treespan.platform.errors import UserError
from treespan.platform.language import detect_language
from treespan.platform.run_record import read_run
from treespan.platform.steps import Output
from treespan.platform.store import Store

MAX_FILE_BYTES = 4_000_000
"""Larger files of a folder are left out (ours): no code that anybody reads."""

_MAX_NAMES = 5
"""Repositories named that hold an unknown name, such as ``debian:NAME``."""

_SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__"})


def files_step(steps: Mapping[str, Output]) -> Output:
    """The step of a run that has the files to train on."""
    for name in ("decontaminate", "curate"):
        if name in steps:
            return steps[name]
    raise UserError("the run has no curated files yet.", "Run its recipe up to curate.")


def repositories_of(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """The repositories of a table of files, by name, their rows sorted by path."""
    for repo in sorted(pc.unique(table["repo"]).to_pylist()):
        yield repo, table.filter(pc.equal(table["repo"], repo)).sort_by("path")


def source_files(rows: pa.Table) -> list[SourceFile]:
    """Rows of a table of files as the graph takes them."""
    columns = (rows[name].to_pylist() for name in ("path", "language", "content"))
    return [SourceFile(*values) for values in zip(*columns, strict=True)]


def stored_repository(store: Store, repo: str, run_name: str | None = None) -> list[SourceFile]:
    """The curated files of ``repo``. Raises ``UserError`` if the run has none."""
    output = files_step(read_run(store, run_name).steps)
    known: set[str] = set()
    for part in output.files("files"):
        names = store.read_table(part, ["repo"])
        if pc.any(pc.equal(names["repo"], repo)).as_py():
            table = store.read_table(part, ["repo", "path", "language", "content"])
            return source_files(table.filter(pc.equal(table["repo"], repo)))
        known.update(pc.unique(names["repo"]).to_pylist())
    close = sorted(name for name in known if repo in name)[:_MAX_NAMES]
    close += [name for name in get_close_matches(repo, sorted(known)) if name not in close]
    raise UserError(
        f"{store.uri} has no repository {repo!r}, and there is no such folder.",
        f"Did you mean {' or '.join(close)}?"
        if close
        else "Give the name of a repository of the run, or a folder.",
    )


def folder_files(folder: Path) -> list[SourceFile]:
    """The text files below ``folder`` whose language is known, sorted by path."""
    found: list[SourceFile] = []
    for path in sorted(_walk(folder)):
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                continue
            content = path.read_bytes()
            text = content.decode()
        except (OSError, UnicodeDecodeError):
            continue
        name, _ = printable(os.fsencode(path.relative_to(folder).as_posix()))
        language = detect_language(name, content)
        if language and "\0" not in text:
            found.append(SourceFile(name, language, text))
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - _SKIPPED)
        for name in names:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                yield path


def total_bytes(files: Sequence[SourceFile]) -> int:
    """Bytes of text in ``files``."""
    return sum(len(file.text.encode(errors="surrogatepass")) for file in files)
