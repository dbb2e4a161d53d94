"""The scratch tables that pass between the parts of curation. They hold hashes, never text.

A *ref* names a file by where it lies in ingest's output: partition in the upper 32 bits, row in the
lower. It is 8 bytes where a name would be a hundred, and it says which part to open. Parts of the
indexes of earlier corpora are numbered after the partitions of this one.
"""

from __future__ import annotations

import pyarrow as pa

KEYS = pa.schema(
    [
        ("ref", pa.uint64()),
        ("file_id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("stars", pa.int64()),
        ("test_files", pa.int64()),
        ("licence_known", pa.bool_()),
        ("known", pa.bool_()),  # a file of an earlier corpus: it stays, whatever comes
    ]
)
"""One row is a file that passed the rules, in the order of refs: all that decisions depend on."""

MEETINGS = pa.schema(
    [
        ("key", pa.uint64()),  # of a band, or the content itself
        ("exact", pa.bool_()),  # the key is the content
        ("content", pa.uint64()),  # first 8 bytes of the SHA-256
        ("shingles", pa.uint32()),  # size of the shingle set
        ("ref", pa.uint64()),
    ]
)
"""One row says that a file has a key; files with equal keys are to be compared."""

SHINGLES = pa.schema([("ref", pa.uint64()), ("hashes", pa.large_list(pa.uint64()))])
"""One row is a file's shingle set, sorted; in the order of refs."""

LINKS = pa.schema([("kind", pa.uint8()), ("a", pa.uint64()), ("b", pa.uint64())])
"""What meetings give: pairs of refs with a < b, by kind."""

EXACT, CANDIDATE, HOT = 0, 1, 2
"""Kinds of links. ``HOT`` is no pair: the bucket with key ``a`` was cut and has the member ``b``."""

PAIRS = pa.schema([("a", pa.uint64()), ("b", pa.uint64())])
"""One row is a pair of refs to be compared; a < b, each pair once."""

EDGES = pa.schema([("a", pa.uint64()), ("b", pa.uint64()), ("similarity", pa.float64())])
"""One row is a verified pair; without a similarity, a pair of equal content."""

DECIDED = pa.schema(
    [
        ("ref", pa.uint64()),
        ("rule", pa.string()),
        ("matched", pa.uint64()),  # ref of the file that stays
        ("matched_id", pa.string()),
        ("matched_known", pa.string()),  # name of the matched file if it is of an earlier corpus
        ("similarity", pa.float64()),
    ]
)
"""One row is a duplicate that is dropped, or (rule ``gone``) one that no living file stands for; in
the order of refs."""

GONE_CONTENT = "gone"
"""The rule of files that are gone with their repository, and so are all that are equal to them."""

SURVEY = pa.schema(
    [
        ("repo", pa.string()),
        ("stars", pa.int64()),
        ("commits", pa.int64()),
        ("authors", pa.int64()),
        ("test_files", pa.int64()),
        ("files", pa.int64()),  # that passed the gates: language and licence
        ("bytes", pa.int64()),
        ("contents", pa.int64()),  # distinct ones of files that passed the rules as well
    ]
)
"""One row is a repository of which files passed the gates, in the order of names."""

GONE = pa.schema(
    [
        ("repo", pa.string()),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("detail", pa.string()),
        ("similarity", pa.float64()),
    ]
)
"""One row is a dropped repository of the partition that the table is named after."""


def make_ref(partition: int, row: int) -> int:
    """The ref of a row of a partition."""
    return partition << 32 | row


PARTITION_SHIFT = 32
ROW_MASK = 0xFFFFFFFF
