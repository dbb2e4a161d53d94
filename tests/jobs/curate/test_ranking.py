from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.curate.config import RankingConfig
from treespan.jobs.curate.ranking import Signals, percentile, rank_repositories, scores

NAMES = ("stars", "commits", "test_files")
EVEN = dict.fromkeys(NAMES, 1.0)


def corpus(rows: list[tuple[int, int, int]]) -> list[Signals]:
    return [Signals(f"r{i:03}", dict(zip(NAMES, row, strict=True))) for i, row in enumerate(rows)]


ROWS = st.lists(st.tuples(*[st.integers(-1, 6)] * 3), min_size=1, max_size=30)
WEIGHTS = st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from([0.0, 0.5, 1.0, 3.0])))


def ranking(**settings: Any) -> RankingConfig:
    return RankingConfig.model_validate({"min_repositories": 1, **settings})


def test_the_formula() -> None:
    found = scores(corpus([(0, 10, 3), (5, 10, 2), (9, -1, 1), (5, 20, -1)]), EVEN)
    assert found == pytest.approx(
        {
            # stars: 1/8, 4/8, 7/8, 4/8; commits: 2/6, 2/6, 5/6; test files: 5/6, 3/6, 1/6
            "r000": (1 / 8 + 2 / 6 + 5 / 6) / 3,
            "r001": (4 / 8 + 2 / 6 + 3 / 6) / 3,
            "r002": (7 / 8 + 1 / 6) / 2,
            "r003": (4 / 8 + 5 / 6) / 2,
        }
    )


@given(ROWS, WEIGHTS, st.data())
def test_more_of_a_signal_never_lowers_the_score(
    rows: list[tuple[int, int, int]], weights: dict[str, float], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(rows) - 1))
    signal = data.draw(st.integers(0, 2))
    more = list(rows)
    raised = list(rows[place])
    if raised[signal] < 0:
        return  # from unknown to known is no more and no less
    raised[signal] += data.draw(st.integers(1, 5))
    more[place] = (raised[0], raised[1], raised[2])
    name = f"r{place:03}"
    before, after = scores(corpus(rows), weights), scores(corpus(more), weights)
    assert after[name] >= before[name] - 1e-12
    for other in before.keys() - {name}:
        assert after[other] <= before[other] + 1e-12


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_repositories_does_not_matter(rows: Any, random: Any) -> None:
    shuffled = corpus(rows)
    random.shuffle(shuffled)
    assert rank_repositories(shuffled, ranking()) == rank_repositories(corpus(rows), ranking())


@given(ROWS)
def test_an_unknown_signal_is_neutral(rows: list[tuple[int, int, int]]) -> None:
    # Known of nobody, it is as if it did not exist.
    none = [(-1, commits, tests) for _, commits, tests in rows]
    assert scores(corpus(none), EVEN) == scores(corpus(none), {**EVEN, "stars": 0.0})
    # Unknown of one, that one has the mean of what is known of it.
    found = scores(corpus(rows), EVEN)
    for name, row in zip(found, rows, strict=True):
        known = [
            percentile(sorted(r[i] for r in rows if r[i] >= 0), row[i])
            for i in range(3)
            if row[i] >= 0
        ]
        assert found[name] == pytest.approx(sum(known) / len(known) if known else 0.5)
        assert 0 <= found[name] <= 1


@pytest.mark.parametrize(("count", "share", "gone"), [(20, 0.1, 2), (29, 0.1, 2), (30, 0.1, 3)])
def test_exactly_the_share_goes(count: int, share: float, gone: int) -> None:
    rows = corpus([(i, i, i) for i in range(count)])
    found = rank_repositories(rows[::-1], ranking(drop_share=share))
    assert found.dropped == {f"r{i:03}" for i in range(gone)}
    assert found.cut == found.scores[f"r{gone:03}"]
    assert all(found.scores[repo] < found.cut for repo in found.dropped)


def test_ties_are_settled_by_name() -> None:
    found = rank_repositories(corpus([(1, 1, 1)] * 20), ranking())
    assert found.dropped == {"r018", "r019"}
    assert found.cut == 0.5


def test_nothing_is_ranked_without_history_or_in_small_numbers() -> None:
    bare = corpus([(-1, -1, i) for i in range(40)])
    assert rank_repositories(bare, ranking()).dropped == frozenset()
    assert rank_repositories(bare, ranking()).scores == {}
    known = corpus([(i, -1, 0) for i in range(20)])
    default = RankingConfig()
    assert len(rank_repositories([*known, *bare[20:]], default).scores) == 20
    assert rank_repositories(known[:19], default).dropped == frozenset()
    assert rank_repositories(known, default).dropped == {"r000", "r001"}
    assert rank_repositories(known, ranking(enabled=False)).dropped == frozenset()
    assert rank_repositories(known, ranking(drop_share=0.0)).dropped == frozenset()


def test_authors_count_only_if_asked() -> None:
    def first(**settings: Any) -> str:
        rows = [
            Signals("few", {"stars": 2, "commits": 2, "test_files": 2, "authors": 1}),
            Signals("many", {"stars": 1, "commits": 1, "test_files": 1, "authors": 9}),
        ]
        found = rank_repositories(rows, ranking(**settings)).scores
        return max(found, key=lambda repo: found[repo])

    assert first() == "few"
    assert first(weights={"authors": 9.0}) == "many"
