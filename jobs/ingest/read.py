"""One repository to rows of ``FILES`` and decisions: pure but for the reading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import enry
import pyarrow as pa

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.decode import Undecodable, decode, is_binary_name
from treespan.jobs.ingest.detect_licence import licence_of_file
from treespan.jobs.ingest.repository import (
    NOT_ITS_FAULT,
    Entry,
    RefusedError,
    Repository,
    Snapshot,
    unread,
)
from treespan.platform.draws import hash64
from treespan.platform.ledger import Decision, decide
from treespan.platform.retry import retrying

STEP = "ingest"

BATCH_BYTES = 16 << 20
BATCH_ROWS = 1024
"""A record batch ends at whichever comes first: it bounds what a reader must hold."""

MAX_PATH_CHARACTERS = 4096
"""As Linux has it. An archive may name members at any length, and each rule on paths reads it all."""


class Log(Protocol):
    """What takes decisions; a list does."""

    def append(self, decision: Decision, /) -> None:
        """Take in one decision."""


def file_id(repo: str, path: str) -> str:
    """128 bits of SHA-256 over (repo, path), as hex: the file's name in every table."""
    return hashlib.sha256(f"{repo}\0{path}".encode()).hexdigest()[:32]


def read_repository(
    repository: Repository, config: IngestConfig, decisions: Log
) -> Iterator[dict[str, Any]]:
    """Rows of ``FILES`` in the order of paths; what is not read is appended to ``decisions``.

    A repository that cannot be opened gives no row and one decision, ``repository-error``, or the
    rule that refused it. Raises ``NotHereError`` if this node lacks what the driver has listed,
    ``UnavailableError`` if a source's server stays away, and ``MemoryError``.
    """

    def enter() -> tuple[AbstractContextManager[Snapshot], Snapshot]:
        opened = repository.open()
        return opened, opened.__enter__()

    try:
        opened, snapshot = retrying(enter, repository.origin)
    except NOT_ITS_FAULT:
        raise
    except RefusedError as error:
        decisions.append(
            _decide(
                repository.name,
                "",
                error.rule,
                value=error.value,
                threshold=error.threshold,
                detail=error.detail,
            )
        )
        return
    except Exception as error:  # noqa: BLE001 - one bad repository must not stop the job
        cause = f"{type(error).__name__}: {error}"
        decisions.append(_decide(repository.name, "", "repository-error", detail=cause))
        return
    try:
        yield from _read_entries(repository, snapshot, config, decisions)
    finally:
        opened.__exit__(None, None, None)


def _read_entries(
    repository: Repository, snapshot: Snapshot, config: IngestConfig, decisions: Log
) -> Iterator[dict[str, Any]]:
    entries = sorted(map(_with_sane_path, snapshot.entries), key=lambda entry: entry.path)
    test_files = sum(enry.is_test(entry.path) for entry in entries if not entry.skip)
    over = paths_over_cap(entries, config)
    for entry in entries:

        def reject(
            rule: str, entry: Entry = entry, size: int | None = None, **measured: Any
        ) -> None:
            known = entry.size if size is None else size
            decisions.append(_decide(repository.name, entry.path, rule, known or 0, **measured))

        data = read_entry(entry, config, over, reject)
        if data is None:
            continue
        found = decode(data, convertible=config.encodings == "convert", stated=entry.encoding)
        if isinstance(found, Undecodable):
            reject(found.rule, size=len(data), detail=found.detail)
            continue
        text = found.text
        if found.encoding:
            data = text.encode()
            if len(data) > config.max_file_bytes:
                reject("oversize", size=len(data), value=len(data), threshold=config.max_file_bytes)
                continue
            detail = f"from {found.encoding}"
            edit = _decide(
                repository.name, entry.path, "encoding", len(data), action="edit", detail=detail
            )
            decisions.append(edit)
        stated = "" if snapshot.licence_is_final else licence_of_file(text) or entry.licence
        yield {
            "file_id": file_id(repository.name, entry.path),
            "repo": repository.name,
            "commit": snapshot.commit or repository.commit,
            "path": entry.path,
            "language": "",
            "content": text,
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "licence": stated or snapshot.licence,
            "stars": snapshot.stars,
            "commits": snapshot.commits,
            "authors": snapshot.authors,
            "test_files": test_files,
            "source": repository.source,
        }


def _with_sane_path(entry: Entry) -> Entry:
    if len(entry.path) <= MAX_PATH_CHARACTERS:
        return entry
    return unread(entry.path, "path-length", size=entry.size)


def read_entry(
    entry: Entry, config: IngestConfig, over_cap: Mapping[str, int], reject: Callable[..., None]
) -> bytes | None:
    """The bytes of ``entry``, or None after ``reject`` was told why; reads only what may stay."""
    limit = config.max_file_bytes
    if entry.skip:
        reject(entry.skip, detail=entry.detail)
    elif is_binary_name(entry.path):
        reject("binary", detail="file name")
    elif entry.size is not None and entry.size > limit:
        reject("oversize", value=entry.size, threshold=limit)
    elif entry.path in over_cap:
        reject("repo-cap", value=over_cap[entry.path], threshold=config.max_repo_bytes)
    else:
        try:
            data = retrying(entry.read, entry.path)
        except NOT_ITS_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 - OSError, or a damaged git object in one of many shapes
            reject("unreadable", detail=f"{type(error).__name__}: {error}")
            return None
        if len(data) <= limit:
            return data
        reject("oversize", size=len(data), value=len(data), threshold=limit)
    return None


def paths_over_cap(entries: Sequence[Entry], config: IngestConfig) -> dict[str, int]:
    """Files that do not fit ``max_repo_bytes``, with the size the repository would have with each.

    Files are taken in an order drawn from their paths, so that a cap leaves a sample of the
    repository and not its first folders. What is too large or binary takes no room.
    """
    cap = config.max_repo_bytes
    if cap is None:
        return {}
    over: dict[str, int] = {}
    taken = 0
    for entry in sorted(entries, key=lambda entry: (hash64("repo-cap", entry.path), entry.path)):
        if entry.skip or is_binary_name(entry.path):
            continue
        size = _size(entry)
        if size > config.max_file_bytes:
            continue
        if taken + size > cap:
            over[entry.path] = taken + size
        else:
            taken += size
    return over


def batches_by_bytes(schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    """``rows`` with a ``size`` as record batches of bounded size."""
    pending: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        pending.append(row)
        size += row["size"]
        if size >= BATCH_BYTES or len(pending) >= BATCH_ROWS:
            yield pa.RecordBatch.from_pylist(pending, schema=schema)
            pending, size = [], 0
    if pending:
        yield pa.RecordBatch.from_pylist(pending, schema=schema)


def _size(entry: Entry) -> int:
    if entry.size is not None:
        return entry.size
    try:
        return len(retrying(entry.read, entry.path))
    except NOT_ITS_FAULT:
        raise
    except Exception:  # noqa: BLE001 - it takes no room; reading it again tells why
        return 0


def _decide(repo: str, path: str, rule: str, size: int = 0, **measured: Any) -> Decision:
    file = {"file_id": file_id(repo, path), "repo": repo, "path": path, "size": size}
    return decide(file, step=STEP, rule=rule, **measured)
