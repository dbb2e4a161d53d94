from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.curate import components as module
from treespan.jobs.curate import near_dedup
from treespan.jobs.curate.components import components
from treespan.jobs.curate.config import NearDedupConfig
from treespan.jobs.curate.decide import decide
from treespan.jobs.curate.exact_dedup import by_rank
from treespan.jobs.curate.links import links_of, rows_of_kind
from treespan.jobs.curate.near_dedup import bucket_pairs, jaccard_of_pairs
from treespan.jobs.curate.scratch import CANDIDATE, EDGES, KEYS
from treespan.jobs.curate.screen import Compared, band_meetings
from treespan.jobs.curate.shingles import shingles
from treespan.jobs.curate.verify import pairs_table

THRESHOLD = 0.85


def key(ref: int, **more: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "file_id": f"id{ref}",
        "repo": "r",
        "path": f"{ref:04}",
        "language": "C",
        "sha256": f"{ref:064x}",
        "size": 10,
        "stars": -1,
        "test_files": 0,
        "licence_known": True,
        "known": False,
    }
    return {"ref": ref, **values, **more}


def decided(
    pairs: dict[tuple[int, int], float | None], keys: list[dict[str, Any]], **more: Any
) -> dict[int, tuple[str, str, float]]:
    edges = [{"a": a, "b": b, "similarity": value} for (a, b), value in pairs.items()]
    table = decide(
        pa.Table.from_pylist(edges, schema=EDGES), pa.Table.from_pylist(keys, schema=KEYS), **more
    )
    return {
        row["ref"]: (row["rule"], row["matched_id"], row["similarity"]) for row in table.to_pylist()
    }


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
    links, counts = links_of(pa.Table.from_batches([meetings]), THRESHOLD, known_from=2**63)
    candidates = [(int(a), int(b)) for a, b in rows_of_kind(links, CANDIDATE)]
    assert counts["candidates"] == len(candidates)
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
    proposed = bucket_pairs(keys, sizes, contents, refs, THRESHOLD)
    # 10 and 20 are one content; 80 of 100 cannot be similar enough; 6 and 7 are alone.
    assert proposed.pairs.tolist() == [[10, 30], [30, 40]]
    assert proposed.deferred == len(proposed.hot) == 0
    shuffled = np.array([3, 1, 5, 0, 4, 2])
    again = bucket_pairs(
        keys[shuffled], sizes[shuffled], contents[shuffled], refs[shuffled], THRESHOLD
    )
    assert again.pairs.tolist() == proposed.pairs.tolist()


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40), st.integers(0, 9)), max_size=60),
    st.integers(1, 6),
)
def test_buckets_propose_all_pairs_or_say_which_bucket_was_cut(
    rows: list[tuple[int, int, int]], max_partners: int
) -> None:
    # A content has one size.
    size_of = {content: size for _, size, content in rows}
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    keys = np.array(columns[0], dtype=np.uint64)
    contents = np.array(columns[2], dtype=np.uint64)
    sizes = np.array([size_of[content] for content in columns[2]], dtype=np.uint32)
    refs = np.arange(len(rows), dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_dedup, "MAX_PARTNERS", max_partners)
        proposed = bucket_pairs(keys, sizes, contents, refs, THRESHOLD)
    members: dict[int, dict[int, int]] = {}
    for ref, (bucket, _, content) in enumerate(rows):
        members.setdefault(bucket, {}).setdefault(content, ref)
    expected, hot = set(), set()
    for bucket, least in members.items():
        possible = [
            (size_of[a], size_of[b], least[a], least[b])
            for a, b in combinations(least, 2)
            if min(size_of[a], size_of[b]) >= THRESHOLD * max(size_of[a], size_of[b])
        ]
        pairs = {(min(a, b), max(a, b)) for _, _, a, b in possible}
        cut = {int(ref) for key, ref in proposed.hot if key == bucket}
        assert cut in (set(), set(least.values()))
        if cut:
            hot |= pairs
        else:
            expected |= pairs
    found = {(int(a), int(b)) for a, b in proposed.pairs}
    assert expected <= found <= expected | hot
    assert (proposed.deferred > 0) == (len(proposed.hot) > 0)


def test_a_pair_exactly_at_the_threshold_is_proposed() -> None:
    keys = np.zeros(2, dtype=np.uint64)
    refs = contents = np.arange(2, dtype=np.uint64)
    for large in range(20, 2000, 20):
        sizes = np.array([large * 17 // 20, large], dtype=np.uint32)
        assert len(bucket_pairs(keys, sizes, contents, refs, THRESHOLD).pairs) == 1


def test_a_hot_bucket_is_cut_and_told_and_takes_no_time() -> None:
    count = 200_000
    keys = np.zeros(count, dtype=np.uint64)
    refs = np.arange(count, dtype=np.uint64)
    sizes = np.full(count, 100, dtype=np.uint32)
    # Two sizes that cannot be similar, and more rows than are worked on at once.
    sizes[12_000:] = 1000
    proposed = bucket_pairs(keys[:25_000], sizes[:25_000], refs[:25_000], refs[:25_000], THRESHOLD)
    pairs = 12_000 * 11_999 // 2 + 13_000 * 12_999 // 2
    assert len(proposed.pairs) + proposed.deferred == pairs
    assert len(proposed.hot) == 25_000
    assert all((int(a) < 12_000) == (int(b) < 12_000) for a, b in proposed.pairs[::1000])
    rest = count - 12_000
    partners = near_dedup._partners(keys, sizes, THRESHOLD)
    assert partners.sum() == 12_000 * 11_999 // 2 + rest * (rest - 1) // 2


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=60))
def test_rounds_of_stars_end_at_the_roots(drawn: list[tuple[int, int]]) -> None:
    """What Ray does to slices, here to one slice that holds all."""
    pairs = np.array([pair for pair in drawn if pair[0] != pair[1]], dtype=np.uint64).reshape(-1, 2)
    stars, before = pairs_table(pairs), None
    for _ in range(64):
        large, _ = module._large_star(module._both_ways(stars))
        stars, counts = module._small_star(module._down(large))
        if counts == before:
            break
        before = counts
    found = {(row["a"], row["b"]) for row in stars.to_pylist()}
    refs, roots = components(pairs)
    assert found == {(int(a), int(b)) for a, b in zip(refs, roots, strict=True) if a != b}


def test_components_depend_on_the_pairs_only() -> None:
    pairs = np.array([[9, 4], [1, 2], [4, 7], [2, 3]], dtype=np.uint64)
    refs, roots = components(pairs)
    assert refs.tolist() == [1, 2, 3, 4, 7, 9]
    assert roots.tolist() == [1, 1, 1, 4, 4, 4]
    assert components(pairs[::-1])[1].tolist() == roots.tolist()
    assert len(components(np.empty((0, 2), dtype=np.uint64))[0]) == 0


def test_a_file_goes_only_for_a_similar_one_that_stays() -> None:
    # A chain: 2 is like 1 and 3, but 1 and 3 are not alike, so 3 must stay.
    keys = [key(ref) for ref in (1, 2, 3)]
    assert decided({(1, 2): 0.9, (2, 3): 0.95}, keys) == {2: ("near-duplicate", "id1", 0.9)}


@given(st.dictionaries(st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(850, 999)))
def test_no_two_that_stay_are_similar_and_each_that_goes_has_its_best(
    drawn: dict[tuple[int, int], int],
) -> None:
    similar = {(a, b): value / 1000 for (a, b), value in drawn.items() if a < b}
    both = {**similar, **{(b, a): value for (a, b), value in similar.items()}}
    drops = decided(dict(similar), [key(ref) for ref in range(10)])
    for a, b in similar:
        assert a in drops or b in drops
    for ref, (rule, matched, value) in drops.items():
        stays = {other: both[ref, other] for other in range(ref) if (ref, other) in both}
        stays = {other: found for other, found in stays.items() if other not in drops}
        assert rule == "near-duplicate"
        assert value == max(stays.values())
        assert matched == f"id{min(o for o, found in stays.items() if found == value)}"


def test_the_keep_policy_in_its_order() -> None:
    better = [
        key(3, licence_known=False, known=True),
        key(9, path="z"),
        key(8, licence_known=False, stars=10),
        key(7, licence_known=False, stars=5, test_files=3),
        key(6, licence_known=False, stars=5, test_files=2, size=90),
        key(5, licence_known=False, stars=5, test_files=2, size=80, path="a"),
        key(4, licence_known=False, stars=5, test_files=2, size=80, path="b"),
    ]
    ranked = by_rank(pa.Table.from_pylist(better[::-1], schema=KEYS))
    assert ranked["ref"].to_pylist() == [row["ref"] for row in better]


def test_copies_go_first_and_their_winner_meets_the_similar() -> None:
    same = "ab" * 32
    keys = [
        key(1, sha256=same, licence_known=False),
        key(2, sha256=same, stars=3),
        key(3, size=20),
        key(4, size=5),
    ]
    assert decided({(1, 2): None, (1, 3): 0.9, (3, 4): 0.86}, keys) == {
        1: ("exact-duplicate", "id2", 1.0),
        3: ("near-duplicate", "id2", 0.9),
    }


def test_equal_half_hashes_are_not_yet_equal_files() -> None:
    keys = [key(1, sha256="00" * 32), key(2, sha256="00" * 31 + "01")]
    assert decided({(1, 2): None}, keys) == {}


def test_who_is_gone_with_a_repository_neither_wins_nor_loses() -> None:
    same = "ab" * 32
    keys = [
        key(1, sha256=same, repo="gone", stars=9),
        key(2, sha256=same),
        key(3, sha256=same, path="zz"),
        key(4, repo="gone"),
        key(5, repo="late"),
    ]
    found = decided({(1, 2): None, (1, 3): None, (4, 5): 0.9}, keys, gone=["gone"])
    # Nobody is left of 4's content; 1's lives on in 2.
    assert found == {3: ("exact-duplicate", "id2", 1.0), 4: ("gone", "id4", 1.0)}


def test_files_of_earlier_corpora_stay_and_name_themselves() -> None:
    same = "ab" * 32
    keys = [
        key(1, sha256=same, stars=99),
        key(2),
        key(70, known=True, sha256=same, path="old.c"),
        key(71, known=True, path="other.c"),
    ]
    # 1 is a copy of 70, and so brings 70 and 71 together: neither may go for the other.
    edges = {(1, 70): None, (1, 71): 0.9, (2, 71): 0.88}
    assert decided(dict(edges), keys) == {
        1: ("exact-duplicate", "id70", 1.0),
        2: ("near-duplicate", "id71", 0.88),
    }
    table = decide(
        pa.table({"a": [2], "b": [71], "similarity": [0.88]}, schema=EDGES),
        pa.Table.from_pylist(keys[1:], schema=KEYS),
        known_name=lambda ref, repo, path: f"{repo}/{path} of {ref}",
    )
    assert table["matched_known"].to_pylist() == ["r/other.c of 71"]
