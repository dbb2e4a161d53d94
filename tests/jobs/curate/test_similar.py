from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from treespan.jobs.curate.index import INDEX, check_header, write_index
from treespan.jobs.curate.similar import search
from treespan.platform.errors import UserError
from treespan.platform.schemas import FILES, batches
from treespan.platform.store import Store


@pytest.fixture
def store(tmp_path: Path, clones: list[bytes]) -> Store:
    store = Store(str(tmp_path))
    rows = [
        {"file_id": f"id{i}", "repo": "r", "path": f"{i:04}", "content": text.decode(), "size": 1}
        for i, text in enumerate(clones)
    ]
    for part in range(2):
        some = batches(FILES, rows[part::2], rows_per_batch=64)
        entry = store.write_table(f"c/files/part-{part:05}.arrow", FILES, some)
        write_index(store, entry.path, f"c/index/part-{part:05}.arrow")
    return store


def test_a_planted_near_copy_is_found_with_its_exact_similarity(
    store: Store, clones: list[bytes], true_similarity: Callable[[bytes, bytes], float]
) -> None:
    words = clones[17].split()
    words[len(words) // 2] = b"edited"
    asked = b" ".join(words)
    found = search(store, store.list_files("c/index"), asked, 5)
    truth = [(true_similarity(asked, text), f"{i:04}") for i, text in enumerate(clones)]
    best = sorted((-value, path) for value, path in truth if value > 0)[:5]
    assert [(match.similarity, match.path) for match in found] == [
        (pytest.approx(-value), path) for value, path in best
    ]
    assert "0017" in [match.path for match in found]
    assert all(abs(match.estimate - match.similarity) < 0.16 for match in found)


def test_the_file_itself_and_nothing(store: Store, clones: list[bytes]) -> None:
    parts = store.list_files("c/index")
    first = search(store, parts, clones[3], 1)[0]
    assert first.similarity == 1.0
    assert search(store, parts, b"no such words are in the corpus at all", 5) == []
    with pytest.raises(UserError, match="no words"):
        search(store, parts, b"+++", 5)


def test_an_index_made_in_another_way_is_refused() -> None:
    metadata = {**INDEX.metadata, b"treespan.index.shingle_words": b"3"}
    with pytest.raises(UserError, match=r"says 3 for treespan.index.shingle_words, and not 5"):
        check_header(INDEX.with_metadata(metadata), "index/part-00000.arrow")
    with pytest.raises(UserError, match="says nothing"):
        check_header(pa.schema([]), "x")


def test_the_header_never_changes_unnoticed() -> None:
    assert INDEX.metadata == {
        b"treespan.table": b"index",
        b"treespan.index.version": b"2",
        b"treespan.index.shingle_words": b"5",
        b"treespan.index.permutations": b"256",
        b"treespan.index.seeds": b"09072e054d315a84",
    }
