"""The index of the shards: every row has one place, whatever the sizes of the parts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.pack.shard_index import INDEX, ShardIndex, index_of
from treespan.platform.errors import UserError
from treespan.platform.store import Store


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_every_row_has_one_place_in_order(sizes: list[int]) -> None:
    parts = [(f"epoch-00/{n}", rows) for n, rows in enumerate(sizes)]
    index = ShardIndex(index_of([parts, parts[:1]], 64), "s/shards")
    assert index.rows(0) == sum(sizes)
    assert index.rows(1) == sizes[0]
    assert [index.locate(0, row) for row in range(index.rows(0))] == [
        (f"s/shards/{path}", row) for path, rows in parts for row in range(rows)
    ]


def test_it_is_read_back_and_says_what_is_missing(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(UserError, match=r"no index\.json.*Run the recipe again"):
        ShardIndex.read(store, "shards")
    store.write_json(f"shards/{INDEX}", index_of([[("epoch-00/a", 3), ("epoch-00/b", 2)]], 64))
    index = ShardIndex.read(store, "shards")
    assert (index.seq_len, index.epochs) == (64, 1)
    assert index.paths(0) == ["shards/epoch-00/a", "shards/epoch-00/b"]
    assert index.locate(0, 4) == ("shards/epoch-00/b", 1)
    with pytest.raises(UserError, match="no row 5: epoch 0 has 5"):
        index.locate(0, 5)
    with pytest.raises(UserError, match="no epoch 1: 1 were packed"):
        index.rows(1)
