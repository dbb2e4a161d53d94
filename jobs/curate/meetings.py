"""A file's keys: its content and the bands of its signature, as rows of ``MEETINGS``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from treespan.jobs.curate.config import NearDedupConfig
from treespan.jobs.curate.scratch import MEETINGS
from treespan.jobs.curate.signature import band_keys


def content_keys(sha256: pa.Array | Sequence[str]) -> NDArray[np.uint64]:
    """The first 8 bytes of each hash: uint64 [n]."""
    digests = sha256.to_pylist() if isinstance(sha256, pa.Array) else sha256
    heads = bytes.fromhex("".join(digest[:16] for digest in digests))
    return np.frombuffer(heads, dtype=">u8").astype(np.uint64)


def content_batch(contents: NDArray[np.uint64], refs: NDArray[np.uint64]) -> pa.RecordBatch:
    """Files meet by their content."""
    return _batch(contents, contents, np.zeros(len(refs), dtype=np.uint32), refs, exact=True)


def band_batch(
    signatures: NDArray[np.uint32],
    sizes: NDArray[np.uint32],
    contents: NDArray[np.uint64],
    refs: NDArray[np.uint64],
    config: NearDedupConfig,
) -> pa.RecordBatch:
    """Files with shingles meet by every band of their signature (uint32 [n, 256])."""
    keys = band_keys(signatures, config.bands, config.rows)
    return _batch(
        keys.ravel(),
        np.repeat(contents, config.bands),
        np.repeat(sizes, config.bands),
        np.repeat(refs, config.bands),
        exact=False,
    )


def _batch(
    keys: NDArray[np.uint64],
    contents: NDArray[np.uint64],
    sizes: NDArray[np.uint32],
    refs: NDArray[np.uint64],
    exact: bool,
) -> pa.RecordBatch:
    flags = np.full(len(keys), exact)
    return pa.RecordBatch.from_arrays(
        [pa.array(column) for column in (keys, flags, contents, sizes, refs)], schema=MEETINGS
    )
