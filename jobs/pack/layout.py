"""Rows of segments as Arrow record batches of the ``shards`` schema."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pyarrow as pa

from treespan.jobs.pack.rows import Chunk
from treespan.jobs.pack.segments import Segment
from treespan.platform.schemas import SEGMENT, shards


def lay_out(rows: Sequence[Sequence[Chunk]], seq_len: int, pad: int) -> pa.RecordBatch:
    """``rows`` as one batch: tokens and masks in place, and where each segment lies."""
    tokens = np.full((len(rows), seq_len), pad, np.int32)
    loss_mask = np.zeros((len(rows), seq_len), np.uint8)
    segments: list[Segment] = []
    starts: list[int] = []
    for row, chunks in enumerate(rows):
        at = 0
        for chunk in chunks:
            loss_mask[row, at : at + chunk.length] = 1
            # Nothing stands before a document's first token, so nothing can predict it.
            loss_mask[row, at] = 0
            for segment in chunk.segments:
                tokens[row, at : at + len(segment.tokens)] = segment.tokens
                segments.append(segment)
                starts.append(at)
                at += len(segment.tokens)
    lengths = [[chunk.length for chunk in chunks] for chunks in rows]
    counts = [sum(len(chunk.segments) for chunk in chunks) for chunks in rows]
    columns = [
        pa.FixedSizeListArray.from_arrays(pa.array(tokens.reshape(-1)), seq_len),
        pa.array(lengths, pa.list_(pa.int32())),
        pa.FixedSizeListArray.from_arrays(pa.array(loss_mask.reshape(-1)), seq_len),
        pa.ListArray.from_arrays(
            pa.array([0, *accumulate(counts)], pa.int32()), segment_array(segments, starts)
        ),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=shards(seq_len))


def segment_array(segments: Sequence[Segment], starts: Sequence[int]) -> pa.StructArray:
    """``segments`` that begin at the tokens ``starts`` of their rows, as the schema's struct."""
    columns = {
        "file_id": [segment.file.file_id for segment in segments],
        "start": list(starts),
        "length": [len(segment.tokens) for segment in segments],
        "middle_start": [
            -1 if segment.span is None else start + segment.middle_start
            for segment, start in zip(segments, starts, strict=True)
        ],
        "middle_length": [segment.middle_length for segment in segments],
        "middle_bytes": [segment.span.length if segment.span else 0 for segment in segments],
        "objective": [segment.objective for segment in segments],
        "order": [segment.order or "" for segment in segments],
        "node_type": [segment.span.node_type if segment.span else "" for segment in segments],
        "kind": [segment.span.kind if segment.span else "" for segment in segments],
        "fallback": [segment.fallback for segment in segments],
        "language": [segment.file.language for segment in segments],
        "strategy": [segment.file.strategy for segment in segments],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in SEGMENT]
    return pa.StructArray.from_arrays(arrays, fields=list(SEGMENT))
