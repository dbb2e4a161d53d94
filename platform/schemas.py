"""The Arrow schemas of every artifact, versioned: the contracts between the steps.

Tables are split by repository (``draws.partition_of``): one file ``part-00007.arrow`` holds whole
repositories, so what needs a whole repository reads one file and nothing is shuffled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 2


def _schema(name: str, fields: Sequence[tuple[str, pa.DataType]]) -> pa.Schema:
    metadata = {"treespan.table": name, "treespan.version": str(SCHEMA_VERSION)}
    return pa.schema(fields, metadata=metadata)


FILES = _schema(
    "files",
    [
        ("file_id", pa.string()),  # 128-bit hex of (repo, path): names the file everywhere
        ("repo", pa.string()),
        ("commit", pa.string()),  # git commit, distribution version, or "" where there is none
        ("path", pa.string()),  # relative to the repository, with forward slashes
        ("language", pa.string()),  # linguist's name; "" before curation
        ("content", pa.large_string()),  # the exact text; never normalised
        ("sha256", pa.string()),  # of the UTF-8 bytes of content
        ("size", pa.int64()),  # bytes
        ("licence", pa.string()),  # SPDX expression; "" when unknown
        ("stars", pa.int64()),  # of the repository; -1 when unknown
        ("commits", pa.int64()),  # of the repository; -1 when unknown
        ("authors", pa.int64()),  # of the repository; -1 when unknown
        ("test_files", pa.int64()),  # of the repository
        ("source", pa.string()),  # kind of the source that brought it
    ],
)
"""One row is a source file."""

LEDGER = _schema(
    "ledger",
    [
        ("file_id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("size", pa.int64()),
        ("step", pa.string()),
        ("rule", pa.string()),
        ("action", pa.string()),  # drop | edit | keep
        ("value", pa.float64()),  # what was measured; null where nothing is measured
        ("threshold", pa.float64()),  # what it was held against
        ("detail", pa.string()),  # what cannot be a number: a licence, an encoding
        ("matched_id", pa.string()),  # for duplicates: the file that stays
        ("similarity", pa.float64()),  # exact Jaccard similarity to it
    ],
)
"""One row is a decision on a file."""

REPOSITORIES = _schema(
    "repositories",
    [
        ("repo", pa.string()),
        ("stars", pa.int64()),  # -1 when unknown
        ("commits", pa.int64()),  # -1 when unknown
        ("authors", pa.int64()),  # -1 when unknown
        ("test_files", pa.int64()),
        ("files", pa.int64()),  # of allowed languages and licences
        ("bytes", pa.int64()),
        ("contents", pa.int64()),  # distinct contents of those that passed the rules on files
        ("score", pa.float64()),  # of the ranking; null where the repository was not ranked
        ("dropped", pa.string()),  # by which rule; "" where it stays
        ("matched_repo", pa.string()),  # for duplicates: the repository that stays
        ("similarity", pa.float64()),  # share of its contents that are in that one
    ],
)
"""One row is a repository that curation judged."""

EDGES = _schema(
    "edges",
    [
        ("repo", pa.string()),
        ("source_id", pa.string()),  # the file that imports or uses
        ("target_id", pa.string()),  # the file that defines
        ("kind", pa.string()),  # import | use
        ("name", pa.string()),  # as written in the source
        ("weight", pa.float32()),  # how sure, in (0, 1]
        ("count", pa.int32()),  # how often it occurs
    ],
)
"""One row is a tie between two files; sorted by repo, source_id, target_id, kind, name."""

SYMBOLS = _schema(
    "symbols",
    [
        ("repo", pa.string()),
        ("file_id", pa.string()),
        ("name", pa.string()),
        ("kind", pa.string()),  # function, class, ...
        ("start_line", pa.int32()),  # from 1
    ],
)
"""One row is a symbol that a file defines."""

DOCUMENTS = _schema(
    "documents",
    [
        ("document_id", pa.string()),
        ("repo", pa.string()),
        ("file_ids", pa.list_(pa.string())),  # in reading order
        ("copies", pa.list_(pa.int32())),  # which reading of the file: 0 is the first in an epoch
        ("strategies", pa.list_(pa.string())),  # which strategy put each file there
        ("languages", pa.list_(pa.string())),
        ("bytes", pa.int64()),
    ],
)
"""One row is an ordered group of files of one repository."""

SEGMENT = pa.struct(
    [
        ("file_id", pa.string()),
        ("start", pa.int32()),  # first token of the segment within the row
        ("length", pa.int32()),  # tokens, sentinels included
        ("middle_start", pa.int32()),  # first token of the middle within the row; -1 for ntp
        ("middle_length", pa.int32()),
        ("middle_bytes", pa.int32()),  # of the text that was masked; 0 for ntp
        ("objective", pa.string()),  # one of model.objectives.OBJECTIVES
        ("order", pa.string()),  # psm | spm; "" for ntp
        ("node_type", pa.string()),  # syntax node that was masked; "" where there is none
        ("kind", pa.string()),  # of the aiXcoder evaluation; "" for other holes
        ("fallback", pa.string()),  # why a drawn objective was not applied; "" normally
        ("language", pa.string()),
        ("strategy", pa.string()),
    ]
)


def shards(seq_len: int) -> pa.Schema:
    """One row is a packed training row of ``seq_len`` tokens."""
    return _schema(
        "shards",
        [
            ("tokens", pa.list_(pa.int32(), seq_len)),
            ("document_lengths", pa.list_(pa.int32())),  # they sum to seq_len less the padding
            ("loss_mask", pa.list_(pa.uint8(), seq_len)),  # 1: the token is a target
            ("segments", pa.list_(SEGMENT)),
        ],
    )


def part_name(partition: int) -> str:
    """The file name of a partition."""
    return f"part-{partition:05d}.arrow"


def batches(
    schema: pa.Schema, rows: Iterable[Mapping[str, Any]], *, rows_per_batch: int = 512
) -> Iterator[pa.RecordBatch]:
    """``rows`` as record batches of ``schema``; a missing key becomes null."""
    pending: list[Mapping[str, Any]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == rows_per_batch:
            yield pa.RecordBatch.from_pylist(pending, schema=schema)
            pending = []
    if pending:
        yield pa.RecordBatch.from_pylist(pending, schema=schema)
