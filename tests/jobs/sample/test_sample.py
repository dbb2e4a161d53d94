"""Sampling: every file once, related files near each other, whatever the order of arrival."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.sample.config import SampleConfig, StrategyWeights
from treespan.jobs.sample.documents import Placed, cut_documents, order_files
from treespan.jobs.sample.holdout import choose_holdout
from treespan.jobs.sample.strategies import (
    STRATEGIES,
    Repository,
    imported_first,
    path_similarity,
)
from treespan.platform.errors import UserError


def python(path: str, text: str = "") -> SourceFile:
    return SourceFile(path, "Python", text)


def graph(count: int, edges: list[tuple[int, int]]) -> list[list[int]]:
    return [sorted({b for a, b in edges if a == i and b != i}) for i in range(count)]


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_imported_come_first_unless_in_a_cycle(count: int, pairs: list[tuple[int, int]]) -> None:
    edges = [(a % count, b % count) for a, b in pairs]
    imports = graph(count, edges)
    order = imported_first(imports, set(range(count)))
    assert sorted(order) == list(range(count))
    place = {index: at for at, index in enumerate(order)}

    def reaches(start: int, goal: int) -> bool:
        seen, frontier = set(), [start]
        while frontier:
            for following in imports[frontier.pop()]:
                if following == goal:
                    return True
                if following not in seen:
                    seen.add(following)
                    frontier.append(following)
        return False

    for a, targets in enumerate(imports):
        for b in targets:
            assert place[b] < place[a] or reaches(b, a)


@pytest.mark.parametrize(
    ("a", "b", "similarity"),
    [("", "", 1.0), ("x", "x", 1.0), ("x/y", "x/z", 0.5), ("x/y", "x", 0.5), ("a", "b", 0.0)],
)
def test_path_similarity(a: str, b: str, similarity: float) -> None:
    folders = [tuple(part for part in name.split("/") if part) for name in (a, b)]
    assert path_similarity(*folders) == similarity
    assert path_similarity(*reversed(folders)) == similarity


def test_content_groups_what_is_alike() -> None:
    topics = {
        "cook": "recipe butter flour oven bake sugar",
        "sail": "harbour mast anchor wind rudder deck",
    }
    files = [
        python(f"{i}.py", f"# {text}\n" * 5 + f"{name}_{i} = {i}\n")
        for i in range(10)
        for name, text in topics.items()
    ]
    repository = Repository(files, seed=3)
    block = STRATEGIES["content"](repository, range(len(files)), Random(1))
    kinds = {files[index].text.split()[1] for index in block}
    assert len(block) > 1
    assert len(kinds) == 1


def test_path_starts_near() -> None:
    files = [python(f"{top}/{name}.py") for top in "abc" for name in "xyz"]
    order = STRATEGIES["path"](Repository(files, 0), range(9), Random(5))
    assert sorted(order) == list(range(9))
    assert len({files[index].path[0] for index in order[:3]}) == 1


@given(st.integers(0, 40), st.integers(0, 3))
def test_every_file_is_placed_once(count: int, seed: int) -> None:
    files = [
        python(f"d{i % 3}/f{i}.py", f"import f{(i * 7) % 40}\nword{i % 5} = 1\n")
        for i in range(count)
    ]
    config = SampleConfig(seed=seed)
    placed = order_files("repo", files, config)
    assert sorted(p.index for p in placed) == list(range(count))
    assert placed == order_files("repo", files, config)


def test_strategies_are_drawn_by_weight() -> None:
    files = [python(f"f{i}.py", "x") for i in range(200)]
    only = SampleConfig(strategies=StrategyWeights(content=0, path=1, dependency=0, random=0))
    assert {p.strategy for p in order_files("r", files, only)} == {"path"}
    blocks = Counter(p.strategy for p in order_files("r", files, SampleConfig(max_block_files=1)))
    assert abs(blocks["random"] / 200 - 0.1) < 0.07
    assert min(blocks[name] for name in ("content", "path", "dependency")) > 30


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 60))
def test_documents_keep_order_and_size(sizes: list[int], limit: int) -> None:
    placed = [Placed(i, "path") for i in range(len(sizes))]
    documents = list(cut_documents(placed, sizes, limit))
    assert [p for document in documents for p in document] == placed
    for document in documents:
        assert len(document) == 1 or sum(sizes[p.index] for p in document) <= limit


def test_holdout_is_a_rule_on_names() -> None:
    repos = [f"repo-{i}" for i in range(2000)]
    rule = choose_holdout(0, 0.1, repos)
    held = {repo for repo in repos if rule.holds(repo)}
    assert abs(len(held) / 2000 - 0.1) < 0.03
    backwards, other = choose_holdout(0, 0.1, repos[::-1]), choose_holdout(1, 0.1, repos)
    assert held == {repo for repo in repos if backwards.holds(repo)}
    assert held != {repo for repo in repos if other.holds(repo)}


def test_a_small_corpus_still_holds_one_out() -> None:
    rule = choose_holdout(0, 0.01, ["a", "b", "c"])
    assert sum(rule.holds(repo) for repo in ("a", "b", "c")) == 1
    assert not any(choose_holdout(0, 0.0, ["a"]).holds(repo) for repo in "a")


def test_impossible_holdouts() -> None:
    with pytest.raises(UserError, match="1 repository"):
        choose_holdout(0, 0.1, ["only"])
    with pytest.raises(UserError, match="holds out all"):
        choose_holdout(0, 0.999, ["a", "b"])
