"""A small corpus and the steps from its files to rows, by the real parts but without Ray."""

from collections.abc import Sequence

import pyarrow as pa

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.layout import lay_out
from treespan.jobs.pack.rows import Chunk, chunks_of
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.model.fim_format import FimRenderer
from treespan.model.objectives import ObjectiveMix

BODY = "def add_{0}(a, b):\n    total = a + b  # größer <script>\n    return total * {0}\n\n\n"
PACKED = [
    FileText(f"{n:032x}", f"pkg/m{n}.py", "Python", BODY.format(n) * (n % 4 + 1), "path")
    for n in range(24)
]
SEQ_LEN, ROWS_PER_SHARD = 512, 2
COUNTS = {
    "files": 24,
    "segments": 30,
    "rows": 5,
    "tokens": 2400,
    "text_bytes": 6000,
    "seq_len": SEQ_LEN,
    "padding_share": 0.0625,
    "bytes_per_token": 2.5,
    "segments_by_objective": {"sfim": 20, "ntp": 10},
    "tokens_by_objective": {"sfim": 1800, "ntp": 600},
    "fallbacks": {},
    "segments_by_node": {"call": 12, "block": 8},
}
"""What every version of the step has counted."""
NEW_COUNTS = {
    "target_tokens": 2340,
    "heldout_rows": 1200,
    "fallbacks": {"no-grammar": 2},
    "segments_by_kind": {"method-body": 3, "empty": 1},
    "middle_bytes": {"sfim": {"3": 8, "5": 10, "-1": 2}, "fim": {"9": 4}},
    "middle_bytes_uniform": {"2": 60, "3": 30, "4": 10, "10": 1},
    "segments_by_node_uniform": {"call": 60, "block": 10, "argument_list": 31},
    "row_fill": {"100": 3, "97": 1, "40": 1},
    "bytes_per_token_by_language": {"Python": 2.6, "Go": 2.2},
    "tokens_by_language": {"Python": 2000, "Go": 400},
}


def segment_builder(renderer: FimRenderer, **shares: float) -> SegmentBuilder:
    mix = ObjectiveMix(**({"ntp": 0.4, "fim": 0.2, "sfim": 0.4} | shares))  # type: ignore[arg-type]
    return SegmentBuilder(PackConfig(seq_len=SEQ_LEN, objectives=mix), renderer, 0)


def rows_table(
    rows: Sequence[Sequence[Chunk]], renderer: FimRenderer, seq_len: int = SEQ_LEN
) -> pa.Table:
    """``rows`` as a shard has them."""
    return pa.Table.from_batches([lay_out(rows, seq_len, renderer.pad)])


def document_chunks(
    documents: Sequence[Sequence[FileText]], builder: SegmentBuilder
) -> list[Chunk]:
    """The chunks of ``documents``."""
    return [
        chunk
        for files in documents
        for chunk in chunks_of([s for f in files for s in builder.build(f)], SEQ_LEN)
    ]
