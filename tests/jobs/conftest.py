"""A packed corpus made by the real parts, without Ray: what inspection and the report look at."""

from pathlib import Path

import pytest
from tests.jobs.packed_corpus import (
    COUNTS,
    PACKED,
    ROWS_PER_SHARD,
    SEQ_LEN,
    document_chunks,
    rows_table,
    segment_builder,
)

from treespan.jobs.pack.shard_index import index_of
from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.tokenizer import train
from treespan.platform.progress import Progress
from treespan.platform.run_record import write_run
from treespan.platform.schemas import FILES, batches
from treespan.platform.steps import Context, Output, Result, Step, execute
from treespan.platform.store import Store


@pytest.fixture(scope="session")
def renderer() -> FimRenderer:
    """Our own format with a small vocabulary."""
    form = FimFormat()
    code = "".join(file.text for file in PACKED)
    return FimRenderer(form, train([code], vocab_size=400, special_tokens=form.special_tokens()))


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory, renderer: FimRenderer) -> Output:
    """The packed step of a store that has a run ``small``; a row for each chunk of a document."""
    store = Store(str(tmp_path_factory.mktemp("packed")))
    builder = segment_builder(renderer)
    documents = [PACKED[n : n + 4] for n in range(0, len(PACKED), 4)]
    chunks = document_chunks(documents, builder)
    table = rows_table([[chunk] for chunk in chunks], renderer)

    def curate(context: Context) -> Result:
        rows = [
            {"file_id": f.file_id, "repo": "team/lib", "path": f.path, "content": f.text}
            for f in PACKED
        ]
        path = f"{context.folder}/files/part-00000.arrow"
        return Result([store.write_table(path, FILES, batches(FILES, rows))], {})

    def tokenize(context: Context) -> Result:
        folder, serialized = f"{context.folder}/tokenizer", renderer.tokenizer.serialized
        return Result(
            [
                store.write_bytes(f"{folder}/tokenizer.json", serialized.encode()),
                store.write_json(f"{folder}/fim_format.json", renderer.format.to_dict()),
            ],
            {},
        )

    def pack(context: Context) -> Result:
        written, parts = [], []
        for place, first in enumerate(range(0, table.num_rows, ROWS_PER_SHARD)):
            name = f"epoch-00/part-{place:05d}.arrow"
            part = table.slice(first, ROWS_PER_SHARD)
            path = f"{context.folder}/shards/{name}"
            written.append(store.write_table(path, part.schema, part.to_batches()))
            parts.append((name, part.num_rows))
        index = store.write_json(f"{context.folder}/shards/index.json", index_of([parts], SEQ_LEN))
        return Result([*written, index], COUNTS)

    outputs: dict[str, Output] = {}
    for name, run, inputs in (
        ("curate", curate, ()),
        ("tokenize", tokenize, ("curate",)),
        ("pack", pack, ("curate", "tokenize")),
    ):
        step = Step(name=name, version=1, params={}, inputs=inputs, run=run, needs_ray=False)
        with Progress(quiet=True) as progress:
            outputs[name] = execute(step, store, outputs, progress)
    write_run(store, "small", outputs, tuple(outputs))
    return outputs["pack"]


@pytest.fixture(scope="session")
def packed_store(packed: Output) -> Path:
    """Its folder."""
    return Path(packed.store.uri)
