"""The order of files: every file once, related ones near, whatever the order of arrival."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.dependencies import components, used_first
from treespan.jobs.sample.documents import Mix, Placed, cut_documents, order_files
from treespan.jobs.sample.remaining import Remaining
from treespan.jobs.sample.repository import Edge, Repository, path_similarity, tree_order
from treespan.jobs.sample.step import make_mix, make_step
from treespan.jobs.sample.strategies import STRATEGIES
from treespan.platform.config import build
from treespan.platform.errors import UserError

PAIRS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30)
PATHS = st.sets(
    st.lists(st.sampled_from(["a", "b", "c.d"]), max_size=4).map(
        lambda folders: "/".join([*folders, "f.py"])
    ),
    min_size=1,
    max_size=20,
)


def repository_of(
    paths: list[str], edges: Sequence[Edge] = (), texts: dict[str, str] | None = None
) -> Repository:
    paths = sorted(paths, key=tree_order)
    files = [SourceFile(path, "Python", (texts or {}).get(path, "")) for path in paths]
    return Repository(files, edges, seed=3)


def everything(repository: Repository) -> Remaining:
    return Remaining(len(repository.files), range(len(repository.files)))


def mix_of(**settings: object) -> Mix:
    return make_mix(build(SampleConfig, settings, where="test"))


@given(st.integers(1, 40), st.data())
def test_remaining_is_a_set(size: int, data: st.DataObject) -> None:
    left = set(data.draw(st.lists(st.integers(0, size - 1), min_size=1)))
    remaining = Remaining(size, left)
    rng = Random(data.draw(st.integers(0, 9)))
    while left:
        assert list(remaining) == sorted(left)
        assert len(remaining) == len(left)
        assert [remaining.at(rank) for rank in range(len(left))] == sorted(left)
        ends = sorted(data.draw(st.tuples(*[st.integers(0, size)] * 4)))
        outer, inner = range(ends[0], ends[3]), range(ends[1], ends[2])
        around = (left & set(outer)) - set(inner)
        drawn = remaining.draw_around(outer, inner, 3, rng)
        assert set(drawn) <= around
        assert len(set(drawn)) == len(drawn) == min(3, len(around))
        gone = remaining.draw(rng)
        assert gone in left
        assert gone in remaining
        remaining.remove(gone)
        left.remove(gone)
        assert gone not in remaining


def uses(count: int, edges: list[tuple[int, int]]) -> list[list[int]]:
    return [sorted({b for a, b in edges if a == i and b != i}) for i in range(count)]


def reaches(uses: list[list[int]], start: int, goal: int) -> bool:
    seen, frontier = set(), [start]
    while frontier:
        for following in uses[frontier.pop()]:
            if following == goal:
                return True
            if following not in seen:
                seen.add(following)
                frontier.append(following)
    return False


@given(st.integers(1, 12), PAIRS)
def test_the_used_come_first_unless_in_a_circle(count: int, pairs: list[tuple[int, int]]) -> None:
    graph = uses(count, [(a % count, b % count) for a, b in pairs])
    order = used_first(graph, range(count))
    assert sorted(order) == list(range(count))
    place = {index: at for at, index in enumerate(order)}
    for a, targets in enumerate(graph):
        for b in targets:
            assert place[b] < place[a] or reaches(graph, b, a)


def test_a_circle_begins_where_least_is_open() -> None:
    # 0 uses 1 and 2, 1 uses 2, 2 uses 0: after 1, both others have one use still to come.
    assert used_first([[1, 2], [2], [0]], [0, 1, 2]) == [1, 0, 2]
    assert used_first([[1], [], []], [2, 0]) == [0, 2]


def test_components_have_no_edge_between_them() -> None:
    assert components([[3], [2], [], []], range(4)) == [[0, 3], [1, 2]]
    assert components([[3], [2], [], []], [0, 1, 2]) == [[0], [1, 2]]


@pytest.mark.parametrize(
    ("a", "b", "similarity"),
    [("", "", 1.0), ("x", "x", 1.0), ("x/y", "x/z", 0.5), ("x/y", "x", 0.5), ("a", "b", 0.0)],
)
def test_path_similarity(a: str, b: str, similarity: float) -> None:
    assert path_similarity(a, b) == path_similarity(b, a) == similarity


@given(PATHS)
def test_a_folder_is_a_range_of_files(paths: set[str]) -> None:
    repository = repository_of(list(paths))
    for folder, inside in repository.subtrees.items():
        below = [i for i, f in enumerate(repository.folders) if f"{f}/".startswith(f"{folder}/")]
        assert list(inside) == (below if folder else list(range(len(paths))))
        own = [i for i, f in enumerate(repository.folders) if f == folder]
        assert list(repository.own_files.get(folder, ())) == own


def test_content_takes_the_nearest_of_the_cluster() -> None:
    kinds = ("recipe butter flour oven bake sugar", "harbour mast anchor wind rudder deck")
    texts = {f"{kind[0]}{i}.py": f"# {kind}\n" * 5 for i in range(10) for kind in kinds}
    repository = repository_of(list(texts), texts=texts)
    block = STRATEGIES["content"](repository, everything(repository), Random(1), 8)
    assert len(block) == 8
    assert len({repository.files[index].path[0] for index in block}) == 1


def test_path_starts_near_and_ends_with_the_folders() -> None:
    paths = ["a/b/1", "a/b/2", "a/b/c/3", "a/d/4", "a/5", "e/6", "7"]
    repository = repository_of(paths)
    seeds = Counter()
    for seed in range(40):
        block = STRATEGIES["path"](repository, everything(repository), Random(seed), 8)
        near = [repository.files[index].path for index in block]
        seeds[near[0]] += 1
        if near[0] == "a/b/1":
            assert near[1:3] == ["a/b/2", "a/b/c/3"]
            assert set(near[3:]) == {"a/d/4", "a/5"}
        if near[0] in ("e/6", "7"):
            assert len(near) == 1
    assert len(seeds) == len(paths)


def test_dependency_follows_the_surest_edges() -> None:
    paths = [f"{name}.py" for name in "abcdef"]
    # a uses b surely and c hardly; b uses d; e uses a; f stands alone.
    edges = [(0, 1, 1.0), (0, 2, 0.2), (1, 3, 1.0), (4, 0, 0.9)]
    repository = repository_of(paths, edges)

    class First(Random):
        def randrange(self, *_: int) -> int:  # type: ignore[override]
            return 0

    def block(most: int) -> str:
        found = STRATEGIES["dependency"](repository, everything(repository), First(), most)
        return "".join(paths[index][0] for index in found)

    assert [block(most) for most in (1, 2, 3, 4, 8)] == ["a", "ba", "bae", "dbae", "cdbae"]


def test_orders_of_whole_repositories() -> None:
    repository = repository_of(["z.py", "a/x.py", "b.py"], [(0, 1, 1.0), (1, 2, 1.0)])
    for name, expected in (("topological", [2, 1, 0]), ("repository", [0, 1, 2])):
        mix = mix_of(strategies={name: 1.0}, max_block_files=1)
        assert order_files(repository, range(3), mix, Random(0)) == [
            Placed(index, name) for index in expected
        ]


NAMES = st.dictionaries(st.sampled_from(list(STRATEGIES)), st.floats(0.1, 1), min_size=1)


@given(st.integers(1, 12), PAIRS, NAMES, st.sets(st.integers(0, 11)), st.integers(0, 3))
def test_every_chosen_file_is_placed_once(
    count: int, pairs: list[tuple[int, int]], weights: dict[str, float], some: set[int], seed: int
) -> None:
    edges = [(a % count, b % count, (1 + a) / 12) for a, b in pairs]
    paths = [f"d{i % 3}/f{i}.py" for i in range(count)]
    texts = {path: f"word{'abcd'[i % 4]} name{'xy'[i % 2]}" for i, path in enumerate(paths)}
    chosen = {index for index in some if index < count}
    mix = mix_of(strategies=weights, max_block_files=3)
    repository = repository_of(paths, edges, texts)
    placed = order_files(repository, chosen, mix, Random(seed))
    assert sorted(file.index for file in placed) == sorted(chosen)
    assert placed == order_files(repository_of(paths, edges, texts), chosen, mix, Random(seed))
    assert {file.strategy for file in placed} <= set(weights)


def test_strategies_are_drawn_by_weight() -> None:
    repository = repository_of([f"f{i}.py" for i in range(300)])
    mix = mix_of(max_block_files=1)
    placed = order_files(repository, range(300), mix, Random(2))
    blocks = Counter(file.strategy for file in placed)
    assert abs(blocks["random"] / 300 - 0.1) < 0.06
    assert min(blocks[name] for name in ("content", "path", "dependency")) > 60


@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 60))
def test_documents_keep_order_and_size(sizes: list[int], limit: int) -> None:
    placed = [Placed(i, "path") for i in range(len(sizes))]
    documents = list(cut_documents(placed, sizes, limit))
    assert [p for document in documents for p in document] == placed
    for document in documents:
        assert len(document) == 1 or sum(sizes[p.index] for p in document) <= limit


def last_first(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    return list(left)[-most:][::-1]


def none(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    return []


def negative(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    return [-1]


def beyond(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    return [10**6]


def twice(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    return [left.at(0), left.at(0)]


def test_a_strategy_of_ones_own() -> None:
    name = f"{__name__}:last_first"
    config = SampleConfig(strategies={name: 1.0}, max_block_files=2)
    repository = repository_of([f"f{i}.py" for i in range(5)])
    placed = order_files(repository, range(5), make_mix(config), Random(0))
    assert [file.index for file in placed] == [4, 3, 2, 1, 0]
    assert {file.strategy for file in placed} == {name}
    assert list(make_step(config).params["plugins"]) == [name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (f"{__name__}:none", "chose no file"),
        (f"{__name__}:twice", "chose a file twice"),
        (f"{__name__}:negative", "chose a file twice"),
        (f"{__name__}:beyond", "chose a file twice"),
        (f"{__name__}:absent", "cannot be loaded"),
        ("no.such.module:f", "cannot be loaded"),
        (f"{__name__}:NAMES", "is no function"),
        (":f", "cannot be loaded"),
    ],
)
def test_what_is_wrong_with_ones_own(name: str, said: str) -> None:
    config = SampleConfig(strategies={name: 1.0})
    with pytest.raises(UserError, match=said):
        order_files(repository_of(["a.py"]), [0], make_mix(config), Random(0))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"strategies": {"contents": 1}}, "known are content, path, dependency, random"),
        ({"strategies": {"path": -1}}, "must not be negative"),
        ({"strategies": {}}, "at least one"),
        ({"languages": {"rust": 1}}, "linguist knows no language 'rust'"),
        ({"languages": {"Rust": 101}}, "from 0 to 100"),
        ({"languages": {"Rust": -1}}, "from 0 to 100"),
    ],
)
def test_impossible_settings(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(SampleConfig, settings, where="test")
