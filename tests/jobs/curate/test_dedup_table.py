"""``treespan dedup``: a table in, what stays and all similar pairs out, against brute force."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from treespan.jobs.curate.config import NearDedupConfig
from treespan.jobs.curate.dedup_table import dedup_file
from treespan.platform.errors import UserError

CONFIG = NearDedupConfig()


def test_pairs_are_those_of_brute_force_and_no_two_that_stay_are_similar(
    clones: list[bytes], true_similarity: Callable[[bytes, bytes], float], tmp_path: Path
) -> None:
    texts = [text.decode() for text in sorted(set(clones))[:160]]
    rows = [{"repo": "r", "path": f"{i:03}", "content": text} for i, text in enumerate(texts)]
    rows += [{"repo": "z", "path": f"copy{i}", "content": texts[i]} for i in range(5)]
    rows.append({"repo": "z", "path": "empty", "content": ""})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=50)
    counts = dedup_file(tmp_path / "t.parquet", tmp_path / "out", CONFIG, threads=2)
    truth = {
        (f"r/{a:03}", f"r/{b:03}"): true_similarity(texts[a].encode(), texts[b].encode())
        for a, b in combinations(range(len(texts)), 2)
    }
    similar = {pair for pair, value in truth.items() if value >= 0.85}
    pairs = pq.read_table(tmp_path / "out" / "pairs.parquet").to_pylist()
    found = {(row["a"], row["b"]): row["similarity"] for row in pairs}
    assert set(found) <= similar
    assert len(found) >= 0.99 * len(similar) > 20
    assert all(value == pytest.approx(truth[pair]) for pair, value in found.items())
    kept = pq.read_table(tmp_path / "out" / "kept.parquet")["id"].to_pylist()
    assert not any((a, b) in found for a, b in combinations(kept, 2))
    dropped = pq.read_table(tmp_path / "out" / "dropped.parquet").to_pylist()
    assert sorted([*kept, *(row["id"] for row in dropped)]) == sorted(
        f"{row['repo']}/{row['path']}" for row in rows
    )
    exact = [row["id"] for row in dropped if row["rule"] == "exact-duplicate"]
    assert exact == [f"z/copy{i}" for i in range(5)]
    for row in dropped:
        if row["rule"] == "near-duplicate":
            assert row["kept_id"] in kept
            ends = row["id"], row["kept_id"]
            assert row["similarity"] in (found.get(ends), found.get(ends[::-1]))
    assert (counts["texts"], counts["exact_duplicates"]) == (166, 5)

    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "t.jsonl").write_text(lines)
    assert dedup_file(tmp_path / "t.jsonl", tmp_path / "again", CONFIG, threads=1) == counts
    for name in ("kept", "dropped", "pairs"):
        one, other = (
            pq.read_table(tmp_path / folder / f"{name}.parquet") for folder in ("out", "again")
        )
        assert one.equals(other)


def test_a_hot_bucket_leaves_one(tmp_path: Path) -> None:
    words = [f"word_{i}" for i in range(300)]
    rows = []
    for number in range(600):
        edited = list(words)
        edited[number % 300] = f"edit_{number}"
        rows.append({"id": str(number), "content": " ".join(edited + ["x"] * (number % 3))})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    counts = dedup_file(tmp_path / "t.parquet", tmp_path, CONFIG, threads=2)
    assert (counts["kept"], counts["near_duplicates"]) == (1, 599)


def test_what_is_no_such_table_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"has the columns text. It needs 'content' and 'id'"):
        dedup_file(tmp_path / "t.parquet", tmp_path, CONFIG, threads=1)
    pq.write_table(pa.table({"id": ["a", "a"], "content": ["x", "y"]}), tmp_path / "t.parquet")
    with pytest.raises(UserError, match="missing or repeat"):
        dedup_file(tmp_path / "t.parquet", tmp_path, CONFIG, threads=1)
    (tmp_path / "broken.jsonl").write_text("{not json\n")
    with pytest.raises(UserError, match=r"cannot be read \(JSON"):
        dedup_file(tmp_path / "broken.jsonl", tmp_path, CONFIG, threads=1)
    with pytest.raises(UserError, match="cannot be read"):
        dedup_file(tmp_path / "missing.parquet", tmp_path, CONFIG, threads=1)
