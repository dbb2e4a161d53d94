"""The signature index: what is needed to find the files of a corpus that are similar to a text.

One row per curated file, in the order and in the batches of ``files/``: row i of a part of the
index describes row i of the part of files with the same name. So an index holds no text, and
whoever has found a row knows where its text is. The header (the metadata of the Arrow schema) says
how signatures were made; signatures that were made in another way are refused, not compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from treespan.jobs.curate.shingles import WORDS, shingles
from treespan.jobs.curate.signature import PERMUTATIONS, seeds, signature
from treespan.platform.errors import UserError
from treespan.platform.store import FileEntry, Store

VERSION = 2
"""Bumped whenever the meaning of a column or the hash of a shingle changes."""


def header() -> dict[bytes, bytes]:
    """What says that two indexes can be compared."""
    made_by = {
        "treespan.table": "index",
        "treespan.index.version": str(VERSION),
        "treespan.index.shingle_words": str(WORDS),
        "treespan.index.permutations": str(PERMUTATIONS),
        "treespan.index.seeds": hashlib.sha256(seeds().tobytes()).hexdigest()[:16],
    }
    return {name.encode(): value.encode() for name, value in made_by.items()}


INDEX = pa.schema(
    [
        ("file_id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("sha256", pa.string()),
        ("size", pa.int64()),
        ("shingles", pa.uint32()),  # size of the shingle set
        ("signature", pa.list_(pa.uint32(), PERMUTATIONS)),
    ],
    metadata=header(),
)
"""One row is a curated file; 1 kB of signature and its names."""


def write_index(store: Store, files: str, target: str) -> FileEntry:
    """Index the table ``files`` of curated files, one batch in memory at a time."""

    def indexed() -> Iterator[pa.RecordBatch]:
        with store.open_table(files) as reader:
            for number in range(reader.num_record_batches):
                yield index_batch(reader.get_batch(number))

    return store.write_table(target, INDEX, indexed())


def files_beside(part: str) -> str:
    """The table of files that a part of an index describes."""
    folder, _, name = part.rpartition("/")
    return f"{folder.rpartition('/')[0]}/files/{name}"


def index_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows of ``INDEX`` for rows of ``FILES``."""
    contents = batch["content"].cast(pa.large_binary())
    sizes = np.zeros(batch.num_rows, dtype=np.uint32)
    signatures = np.empty((batch.num_rows, PERMUTATIONS), dtype=np.uint32)
    for row in range(batch.num_rows):
        hashes = shingles(contents[row].as_py())
        sizes[row] = len(hashes)
        signatures[row] = signature(hashes)
    columns = [batch[name] for name in ("file_id", "repo", "path", "sha256", "size")]
    columns.append(pa.array(sizes))
    columns.append(pa.FixedSizeListArray.from_arrays(pa.array(signatures.ravel()), PERMUTATIONS))
    return pa.RecordBatch.from_arrays(columns, schema=INDEX)


def check_header(schema: pa.Schema, name: str) -> None:
    """Raise ``UserError`` if the index ``name`` was made in another way than this version would."""
    found = schema.metadata or {}
    for key, value in header().items():
        if found.get(key) != value:
            said = found.get(key, b"nothing").decode()
            raise UserError(
                f"the index {name} says {said} for {key.decode()}, and not {value.decode()}.",
                "Run the recipe again with this version of treespan.",
            )
