"""Duplicates over several partitions, on Ray: by driver or by Ray, cut or uncut, new against old."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from treespan.jobs.curate import duplicates
from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.duplicates import decide_duplicates
from treespan.jobs.curate.hot_buckets import staying, tasks_of
from treespan.jobs.curate.index import write_index
from treespan.jobs.curate.known import KnownPart, screen_known
from treespan.jobs.curate.scratch import DECIDED, PARTITION_SHIFT
from treespan.jobs.curate.screen import screen_partition
from treespan.platform.errors import UserError
from treespan.platform.partitions import Receipt
from treespan.platform.progress import Progress
from treespan.platform.schemas import FILES, batches, part_name
from treespan.platform.steps import Context
from treespan.platform.store import Store

pytestmark = pytest.mark.ray

CONFIG = CurateConfig.model_validate(
    {
        "ranking": {"enabled": False},
        "repository_dedup": {"enabled": False},
        "kinds": ["programming"],
    }
)
PARTITIONS = 3


def row_of(number: int, text: bytes) -> dict[str, Any]:
    return {
        "file_id": f"id{number}",
        "repo": f"r{number % PARTITIONS}",
        "commit": "",
        "path": f"f{number:05}.py",
        "language": "",
        "content": text.decode(),
        "sha256": hashlib.sha256(text).hexdigest(),
        "size": len(text),
        "licence": "MIT",
        "stars": -1,
        "commits": -1,
        "authors": -1,
        "test_files": 0,
        "source": "directory",
    }


def broken(text: bytes) -> bytes:
    """The words of a fixture on lines, as rules on line lengths want them."""
    return text.replace(b" ", b"\n")


def decide(
    store: Store, texts: list[bytes], known: list[KnownPart] | None = None
) -> tuple[dict[str, tuple[str, str, str]], dict[str, Any]]:
    rows = [row_of(number, broken(text)) for number, text in enumerate(texts)]
    screened: list[Receipt] = []
    for partition in range(PARTITIONS):
        name = f"in/{part_name(partition)}"
        store.write_table(name, FILES, batches(FILES, rows[partition::PARTITIONS]))
        screened.append(screen_partition(store, name, "out/work", partition, CONFIG))
    earlier = [screen_known(store, "out/work", part, CONFIG) for part in known or []]
    context = Context(store, "out", {}, Progress(quiet=True))
    receipt = decide_duplicates(context, [*screened, *earlier], known or [], PARTITIONS, CONFIG)
    tables = [store.read_table(name).to_pylist() for name in receipt.counts["decided"]]
    found = {}
    for row in (row for table in tables for row in table):
        partition = row["ref"] >> PARTITION_SHIFT
        number = (row["ref"] & 0xFFFFFFFF) * PARTITIONS + partition
        found[f"id{number}"] = (row["rule"], row["matched_id"], row["matched_known"])
    return found, dict(receipt.counts["near_dedup"])


def test_the_driver_and_ray_decide_the_same(
    ray_cluster: None,
    clones: list[bytes],
    true_similarity: Callable[[bytes, bytes], float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = [*clones[:100], *clones[:9]]
    by_driver, counts = decide(Store(str(tmp_path / "driver")), texts)
    monkeypatch.setattr(duplicates, "PAIRS_ON_DRIVER", 0)
    by_ray, counts_by_ray = decide(Store(str(tmp_path / "ray")), texts)
    assert by_ray == by_driver
    assert counts_by_ray == counts
    assert len(by_driver) > 20
    assert sum(rule == "exact-duplicate" for rule, *_ in by_driver.values()) >= 9
    for file_id, (rule, matched, _) in by_driver.items():
        one, other = (texts[int(name[2:])] for name in (file_id, matched))
        assert true_similarity(one, other) >= (1.0 if rule == "exact-duplicate" else 0.85)
    stay = [text for number, text in enumerate(texts) if f"id{number}" not in by_driver]
    similar = sum(
        true_similarity(stay[a], stay[b]) >= 0.85 for a in range(len(stay)) for b in range(a)
    )
    assert similar == 0


def test_a_hot_bucket_loses_nothing(ray_cluster: None, tmp_path: Path) -> None:
    # 700 edits of one file: each is similar to each, far more than a bucket proposes.
    words = [f"word_{i}" for i in range(400)]
    texts = []
    for number in range(700):
        edited = list(words)
        edited[number % 400] = f"edit_{number}"
        texts.append(" ".join(edited + ["more"] * (number % 3)).encode())
    drops, counts = decide(Store(str(tmp_path)), texts)
    assert counts["pairs_deferred"] > 10_000
    assert counts["hot_bucket_members"] > 700
    assert counts["rounds_of_hot_buckets"] >= 2
    assert len(drops) == len(texts) - 1


def test_who_is_asked_again() -> None:
    decided = pa.table(
        {
            "ref": [1, 2, 3, 4],
            "rule": ["near-duplicate", "exact-duplicate", "exact-duplicate", "gone"],
            "matched": [9, 1, 8, 4],
        },
        schema=DECIDED.empty_table().select(["ref", "rule", "matched"]).schema,
    )
    members = np.array([[7, ref] for ref in (1, 2, 3, 4, 5, 100, 101)], dtype=np.uint64)
    # 2 went for 1, which went itself; 3 went for 8, which stays, and 3 stands for it.
    stay = staying(members, decided)
    assert stay[:, 1].tolist() == [3, 5, 100, 101]
    ((tile,),) = tasks_of(stay, known_from=100)
    assert tile[0] == 2  # 3 and 5 are compared to all after them, 100 and 101 not to each other
    assert tile[1].tolist() == [3, 5, 100, 101]
    twice = np.concatenate([stay, stay + np.array([[1, 0]], dtype=np.uint64)])
    assert len(tasks_of(twice, known_from=100)[0]) == 1
    assert tasks_of(stay[2:], known_from=100) == []
    assert tasks_of(members[:0], known_from=100) == []


def test_new_files_go_for_those_of_an_earlier_corpus(
    ray_cluster: None, clones: list[bytes], tmp_path: Path
) -> None:
    old_store, texts = Store(str(tmp_path / "old")), sorted(set(clones))[:40]
    rows = [
        {**row_of(number, broken(text)), "file_id": f"old{number}", "repo": "old"}
        for number, text in enumerate(texts)
    ]
    files = old_store.write_table("c/files/part-00000.arrow", FILES, batches(FILES, rows))
    write_index(old_store, files.path, "c/index/part-00000.arrow")
    part = KnownPart(PARTITIONS, old_store, "c/index/part-00000.arrow", "first")
    edited = []
    for text in texts[:20]:
        changed = text.split()
        changed[3] = b"edited"
        edited.append(b" ".join(changed))
    new = [*texts[20:30], *edited]
    drops, _ = decide(Store(str(tmp_path / "new")), new, [part])
    for number in range(10):
        rule, matched, name = drops[f"id{number}"]
        assert (rule, matched) == ("exact-duplicate", f"old{20 + number}")
        assert name == f"old/f{20 + number:05}.py of the run first"
    gone = [drops.get(f"id{number}") for number in range(10, 30)]
    assert sum(drop is not None and drop[1].startswith("old") for drop in gone) >= 18
    assert all(name.startswith("id") for name in drops)
    broken_part = replace(part, path="c/files/part-00000.arrow")
    with pytest.raises(UserError, match=r"says files for treespan.table, and not index"):
        screen_known(Store(str(tmp_path / "new")), "out/work", broken_part, CONFIG)
