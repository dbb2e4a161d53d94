from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from treespan.jobs.curate.config import NearDedupConfig
from treespan.jobs.curate.duplicates import decide
from treespan.jobs.curate.exact_dedup import Key
from treespan.jobs.curate.links import Links, links_of
from treespan.jobs.curate.near_dedup import (
    MAX_PARTNERS,
    bucket_pairs,
    choose_near,
    components,
    jaccard_of_pairs,
)
from treespan.jobs.curate.screen import Compared, band_meetings
from treespan.jobs.curate.shingles import shingles

THRESHOLD = 0.85


def key(ref: int, **more: Any) -> Key:
    values: dict[str, Any] = {
        "file_id": f"id{ref}",
        "repo": "r",
        "path": f"{ref:04}",
        "sha256": f"{ref:064x}",
        "size": 10,
        "stars": -1,
        "test_files": 0,
        "licence_known": True,
    }
    return Key(ref=ref, **{**values, **more})


def similarities(sets: list[Any], pairs: Any) -> Any:
    offsets = np.cumsum([0] + [len(hashes) for hashes in sets], dtype=np.int64)
    pairs = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return jaccard_of_pairs(np.concatenate(sets), offsets, pairs[:, 0].copy(), pairs[:, 1].copy())


def test_recall_and_precision_against_brute_force(
    clones: list[bytes], true_similarity: Callable[[bytes, bytes], float]
) -> None:
    texts = sorted(set(clones))
    truth = {
        (a, b): true_similarity(texts[a], texts[b])
        for a, b in combinations(range(len(texts)), 2)
        if abs(len(texts[a]) - len(texts[b])) < 300
    }
    similar = {pair for pair, value in truth.items() if value >= THRESHOLD}
    assert len(similar) > 150
    sets = [shingles(text) for text in texts]
    compared = [Compared(ref, f"{ref:016x}", hashes) for ref, hashes in enumerate(sets)]
    meetings = band_meetings(compared, NearDedupConfig())
    links = Links()
    links.add(links_of(pa.Table.from_batches([meetings]), THRESHOLD))
    candidates = [(int(a), int(b)) for a, b in links.candidates]
    measured = similarities(sets, candidates)
    found = {pair for pair, value in zip(candidates, measured, strict=True) if value >= THRESHOLD}
    assert len(found & similar) / len(similar) >= 0.99
    assert found <= similar
    for pair, value in zip(candidates, measured, strict=True):
        if pair in truth:
            assert value == pytest.approx(truth[pair], abs=1e-12)


def test_similarity_of_sets() -> None:
    sets = [np.array(values, dtype=np.uint64) for values in ([1, 2, 3, 4], [3, 4, 5], [], [])]
    result = similarities(sets, [(0, 1), (0, 0), (0, 2), (2, 3)])
    assert result.tolist() == [2 / 5, 1.0, 0.0, 0.0]


def test_a_bucket_pairs_what_may_be_similar() -> None:
    keys = np.array([5, 5, 5, 5, 6, 7], dtype=np.uint64)
    sizes = np.array([100, 100, 90, 80, 100, 100], dtype=np.uint32)
    contents = np.array([1, 1, 2, 3, 1, 4], dtype=np.uint64)
    refs = np.array([20, 10, 30, 40, 50, 60], dtype=np.uint64)
    pairs, skipped = bucket_pairs(keys, sizes, contents, refs, THRESHOLD)
    # 10 and 20 are one content; 80 of 100 cannot be similar enough; 6 and 7 are alone.
    assert pairs.tolist() == [[10, 30], [30, 40]]
    assert skipped == 0
    shuffled = np.array([3, 1, 5, 0, 4, 2])
    again, _ = bucket_pairs(
        keys[shuffled], sizes[shuffled], contents[shuffled], refs[shuffled], THRESHOLD
    )
    assert again.tolist() == pairs.tolist()


def test_a_pair_exactly_at_the_threshold_is_proposed() -> None:
    keys = np.zeros(2, dtype=np.uint64)
    refs = contents = np.arange(2, dtype=np.uint64)
    for large in range(20, 2000, 20):
        sizes = np.array([large * 17 // 20, large], dtype=np.uint32)
        assert len(bucket_pairs(keys, sizes, contents, refs, THRESHOLD)[0]) == 1


def test_a_hot_bucket_is_cut_and_stays_connected() -> None:
    count = 2000
    keys = np.zeros(count, dtype=np.uint64)
    refs = np.arange(count, dtype=np.uint64)
    sizes = np.full(count, 100, dtype=np.uint32)
    pairs, skipped = bucket_pairs(keys, sizes, refs, refs, THRESHOLD)
    assert len(pairs) <= count * MAX_PARTNERS
    assert len(pairs) + skipped == count * (count - 1) // 2
    assert len(np.unique(components(pairs)[1])) == 1


def test_components_depend_on_the_pairs_only() -> None:
    pairs = np.array([[9, 4], [1, 2], [4, 7], [2, 3]], dtype=np.uint64)
    refs, labels = components(pairs)
    assert refs.tolist() == [1, 2, 3, 4, 7, 9]
    assert labels.tolist() == [0, 0, 0, 3, 3, 3]
    assert components(pairs[::-1])[1].tolist() == labels.tolist()
    assert len(components(np.empty((0, 2), dtype=np.uint64))[0]) == 0


def test_a_file_goes_only_for_a_similar_one_that_stays() -> None:
    # A chain: 2 is like 1 and 3, but 1 and 3 are not alike, so 3 must stay.
    keys = {ref: key(ref) for ref in (1, 2, 3)}
    assert choose_near({(1, 2): 0.9, (2, 3): 0.95}, keys) == {2: (1, 0.9)}


def test_the_keep_policy_in_its_order() -> None:
    better = [
        key(9, licence_known=True, path="z"),
        key(8, licence_known=False, stars=10),
        key(7, licence_known=False, stars=5, test_files=3),
        key(6, licence_known=False, stars=5, test_files=2, size=90),
        key(5, licence_known=False, stars=5, test_files=2, size=80, path="a"),
        key(4, licence_known=False, stars=5, test_files=2, size=80, path="b"),
    ]
    assert (
        sorted({key.ref: key for key in better[::-1]}.values(), key=lambda key: key.rank) == better
    )


def test_copies_go_first_and_their_winner_meets_the_similar() -> None:
    same = "ab" * 32
    keys = {
        1: key(1, sha256=same, licence_known=False),
        2: key(2, sha256=same, stars=3),
        3: key(3, size=20),
        4: key(4, size=5),
    }
    exact = np.array([[1, 2]], dtype=np.uint64)
    drops = decide(exact, {(1, 3): 0.9, (3, 4): 0.86}, keys)
    assert drops == {
        1: {"rule": "exact-duplicate", "matched_id": "id2", "similarity": 1.0},
        3: {"rule": "near-duplicate", "matched_id": "id2", "similarity": 0.9},
    }


def test_equal_half_hashes_are_not_yet_equal_files() -> None:
    keys = {1: key(1, sha256="00" * 32), 2: key(2, sha256="00" * 31 + "01")}
    assert decide(np.array([[1, 2]], dtype=np.uint64), {}, keys) == {}
