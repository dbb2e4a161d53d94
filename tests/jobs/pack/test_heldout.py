"""Rows of held-out repositories: a draw over all of them, and none of them in training."""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.jobs.packed_corpus import BODY

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.heldout import BLOCK_BYTES_PER_TOKEN, draw_blocks, share_out
from treespan.jobs.pack.partition import pack_part
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.jobs.pack.shard_index import ShardIndex
from treespan.jobs.pack.step import make_step
from treespan.model.fim_format import FimRenderer
from treespan.platform.progress import Progress
from treespan.platform.schemas import DOCUMENTS, FILES, batches, part_name
from treespan.platform.steps import Output, execute
from treespan.platform.store import Store

SEQ_LEN = 256


@given(st.integers(0, 300), st.lists(st.integers(0, 10**9), max_size=9))
def test_quotas_are_proportional_and_add_up(total: int, weights: list[int]) -> None:
    parts = share_out(total, weights)
    whole = sum(weights)
    assert sum(parts) == (total if whole else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - (total * weight / whole if whole else 0)) < 1
        assert part == 0 or weight > 0


def files(repo: str, count: int) -> list[FileText]:
    return [
        FileText(f"{repo}-{n}", f"{n}.py", "Python", BODY.format(n) * (n % 9 + 1), "heldout")
        for n in range(count)
    ]


def test_blocks_are_neighbours_of_about_a_row_in_the_order_of_a_draw() -> None:
    documents = [files("a", 30), files("b", 3), files("c", 40)]
    blocks = list(draw_blocks(documents, PackConfig(seq_len=SEQ_LEN)))
    ids = [[file.file_id for file in block] for block in blocks]
    wanted = sorted(file.file_id for files in documents for file in files)
    assert sorted(chain.from_iterable(ids)) == wanted
    for block in blocks:
        numbers = [int(file.path.removesuffix(".py")) for file in block]
        assert numbers == list(range(numbers[0], numbers[0] + len(block)))
        size = sum(len(file.text.encode()) for file in block)
        assert len(block) == 1 or size <= BLOCK_BYTES_PER_TOKEN * SEQ_LEN
    repos = [block[0][0] for block in ids]
    assert repos != sorted(repos)
    again = draw_blocks(reversed(documents), PackConfig(seq_len=SEQ_LEN))
    assert [[file.file_id for file in block] for block in again] == ids
    other = draw_blocks(documents, PackConfig(seq_len=SEQ_LEN, seed=1))
    assert [[file.file_id for file in block] for block in other] != ids


@pytest.mark.parametrize("rows", [1, 3, 10_000])
def test_as_many_files_are_packed_as_fill_the_rows(
    rows: int, tmp_path: Path, renderer: FimRenderer
) -> None:
    store, config = Store(str(tmp_path)), PackConfig(seq_len=SEQ_LEN)
    blocks = [[file] for file in files("a", 60)]
    receipt = pack_part(store, "r", blocks, SegmentBuilder(config, renderer, 0), max_rows=rows)
    whole = pack_part(store, "w", blocks, SegmentBuilder(config, renderer, 0))
    assert whole.counts["files"] == 60
    assert receipt.files[0].rows == min(rows, whole.files[0].rows or 0)
    if rows < 10:
        assert receipt.counts["files"] < 20


def write_inputs(store: Store, renderer: FimRenderer, heldout: bool) -> dict[str, Output]:
    """Two partitions of two repositories; the second of each is held out."""
    tables: dict[str, list[list[dict[str, Any]]]] = {"files": [], "documents": [], "heldout": []}
    for part in range(2):
        found = [(f"{part}-{kind}", files(f"{part}-{kind}", 30)) for kind in ("kept", "held")]
        rows = [
            {"file_id": f.file_id, "path": f.path, "language": "Python", "content": f.text}
            for _, of_repo in found
            for f in of_repo
        ]
        documents = [
            {
                "repo": repo,
                "file_ids": [f.file_id for f in of_repo],
                "strategies": ["path"] * 30,
                "copies": [0] * 30,
                "bytes": sum(len(f.text.encode()) for f in of_repo),
            }
            for repo, of_repo in found
        ]
        tables["files"].append(rows)
        tables["documents"].append(documents[:1] if heldout else documents)
        tables["heldout"].append(documents[1:] if heldout else [])
    schemas = {"files": FILES, "documents": DOCUMENTS, "heldout": DOCUMENTS}
    entries = []
    for name, parts in tables.items():
        for number, rows in enumerate(parts):
            path, schema = f"{name}/{part_name(number)}", schemas[name]
            entries.append(store.write_table(f"made/{path}", schema, batches(schema, rows)))
    store.write_bytes("made/tokenizer/tokenizer.json", renderer.tokenizer.serialized.encode())
    store.write_json("made/tokenizer/fim_format.json", renderer.format.to_dict())
    named = [{"path": entry.path.removeprefix("made/")} for entry in entries]
    output = Output(store, "made", {"digest": str(heldout), "files": named, "counts": {}})
    return dict.fromkeys(("curate", "sample", "tokenize"), output)


def files_in(store: Store, output: Output, folder: str) -> Counter[str]:
    """How many segments each file has in the rows of ``folder``."""
    parts = [path for path in output.files(folder) if path.endswith(".arrow")]
    rows = [row for part in parts for row in store.read_table(part).to_pylist()]
    return Counter(segment["file_id"] for row in rows for segment in row["segments"])


@pytest.mark.ray
def test_the_step(ray_cluster: None, tmp_path: Path, renderer: FimRenderer) -> None:
    store = Store(str(tmp_path))
    inputs = write_inputs(store, renderer, heldout=True)

    def packed(**values: int) -> Output:
        config = PackConfig(seq_len=SEQ_LEN, **values)
        return execute(make_step(config), store, inputs, Progress(quiet=True))

    some, none = packed(heldout_rows=9), packed(heldout_rows=0)
    assert some.counts["heldout_rows"] == 9
    assert {**some.counts, "heldout_rows": 0} == none.counts
    index = ShardIndex.read(store, f"{some.folder}/heldout")
    assert (index.epochs, index.rows(0), index.seq_len) == (1, 9, SEQ_LEN)
    assert [store.exists(path) for path in index.paths(0)] == [True, True]
    assert ShardIndex.read(store, f"{none.folder}/heldout").epochs == 0
    trained, held = files_in(store, some, "shards"), files_in(store, some, "heldout")
    assert {name[2:6] for name in trained} == {"kept"}
    assert {name[2:6] for name in held} == {"held"}
    # Not the first ones, and of both partitions.
    assert {name[0] for name in held} == {"0", "1"}
    assert max(int(name[7:]) for name in held) > 15
    # All of them where there are not so many, and none where nothing is held out.
    everything = packed(heldout_rows=10_000)
    assert len(files_in(store, everything, "heldout")) == 60
    inputs = write_inputs(store, renderer, heldout=False)
    assert packed().counts["heldout_rows"] == 0
