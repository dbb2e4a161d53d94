"""A partition's documents: rates, caps, hold-out, statistics, and no word about the order of rows."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.graph.source_file import SourceFile
from treespan.jobs.sample import statistics
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.sample.documents import Placed
from treespan.jobs.sample.holdout import Holdout, choose_holdout
from treespan.jobs.sample.partition import Sampled, sample_partition
from treespan.jobs.sample.repository import Repository, path_similarity
from treespan.jobs.sample.selection import copies_of
from treespan.jobs.sample.statistics import add_sums, means, measure
from treespan.jobs.sample.step import make_mix
from treespan.platform.draws import hash64
from treespan.platform.errors import UserError
from treespan.platform.kernels import HAS_NUMBA
from treespan.platform.schemas import DOCUMENTS, EDGES, LEDGER, batches

NONE_HELD = Holdout(0, 0)
WORDS = ("anchor", "butter", "cellar", "donkey", "engine", "fjord")


def rows_of(repo: str, count: int) -> list[dict[str, Any]]:
    rows = []
    for index in range(count):
        text = " ".join(WORDS[(index * k) % 6] for k in range(1, 5)) + f"\nvalue = {index}\n"
        path = f"d{index % 3}/f{index}.py"
        language = ("Python", "Rust", "JSON")[index % 3]
        file_id = f"{hash64(repo, path):032x}"
        values = (file_id, repo, path, language, text, len(text))
        keys = ("file_id", "repo", "path", "language", "content", "size")
        rows.append(dict(zip(keys, values, strict=True)))
    return rows


def edges_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    edges = [
        {
            "repo": a["repo"],
            "source_id": a["file_id"],
            "target_id": b["file_id"],
            "kind": "use",
            "name": "x",
            "weight": 0.25 + at % 4 / 4,
            "count": 1,
        }
        for at, (a, b) in enumerate(zip(rows, rows[2:], strict=False))
        if a["repo"] == b["repo"]
    ]
    return pa.Table.from_pylist(edges, schema=EDGES)


def sampled_from(rows: Sequence[dict[str, Any]], **settings: Any) -> Sampled:
    config = SampleConfig(max_document_bytes=200, **settings)
    table = pa.Table.from_pylist(list(rows))
    return sample_partition(table, edges_of(rows), config, make_mix(config), NONE_HELD)


def test_documents_do_not_depend_on_the_order_of_rows() -> None:
    rows = rows_of("a", 23) + rows_of("b", 9) + rows_of("c", 1)
    expected = sampled_from(rows)
    edges = edges_of(rows)
    mixed, order = list(rows), Random(4)
    order.shuffle(mixed)
    config = SampleConfig(max_document_bytes=200)
    found = sample_partition(
        pa.Table.from_pylist(mixed),
        edges.take(pa.array(order.sample(range(edges.num_rows), edges.num_rows))),
        config,
        make_mix(config),
        NONE_HELD,
    )
    assert found == expected
    assert sampled_from(rows, seed=1).documents != expected.documents
    placed = [file_id for document in found.documents for file_id in document["file_ids"]]
    assert sorted(placed) == sorted(row["file_id"] for row in rows)
    assert all(set(document["copies"]) == {0} for document in found.documents)
    list(batches(DOCUMENTS, found.documents))  # they fit the schema


def test_repositories_do_not_know_of_each_other() -> None:
    alone, beside = sampled_from(rows_of("a", 9)), sampled_from(rows_of("a", 9) + rows_of("b", 9))
    of_a = [document for document in beside.documents if document["repo"] == "a"]
    assert of_a == alone.documents


def test_language_rates() -> None:
    rows = rows_of("a", 600)
    found = sampled_from(rows, languages={"Rust": 2.25, "JSON": 0.0, "Go": 3.0})
    reads: Counter[str] = Counter()
    pairs = Counter(
        pair
        for document in found.documents
        for pair in zip(document["file_ids"], document["copies"], strict=True)
    )
    assert set(pairs.values()) == {1}
    language = {row["file_id"]: row["language"] for row in rows}
    for file_id, copy in pairs:
        reads[f"{language[file_id]} {copy}"] += 1
    assert reads["Python 0"] == reads["Rust 0"] == reads["Rust 1"] == 200
    assert 30 < reads["Rust 2"] < 70
    assert set(reads) == {"Python 0", "Rust 0", "Rust 1", "Rust 2"}
    assert {d["rule"] for d in found.decisions} == {"language-rate"}
    assert len(found.decisions) == 200
    list(batches(LEDGER, found.decisions))
    sizes = Counter[str]()
    for row in rows:
        sizes[row["language"]] += row["size"]
    assert found.given_bytes == sizes
    assert found.bytes["Python"] == sizes["Python"]
    assert found.bytes["Rust"] > 2 * sizes["Rust"]
    assert found.bytes.total() == sum(document["bytes"] for document in found.documents)
    assert len({document["document_id"] for document in found.documents}) == len(found.documents)
    orders = {
        copy: [d["file_ids"] for d in found.documents if d["copies"][0] == copy] for copy in (0, 1)
    }
    assert not any(document in orders[0] for document in orders[1])


def test_a_cap_takes_files_by_draw() -> None:
    rows = rows_of("a", 100)
    total = sum(row["size"] for row in rows)
    found = sampled_from(rows, max_repo_bytes=total // 2)
    assert total // 2 - 60 < found.bytes.total() <= total // 2
    dropped = {decision["file_id"] for decision in found.decisions}
    assert {decision["rule"] for decision in found.decisions} == {"repo-cap"}
    kept = {file_id for document in found.documents for file_id in document["file_ids"]}
    assert kept | dropped == {row["file_id"] for row in rows}
    assert not kept & dropped
    assert found.counts()["left_out"]["repo-cap"].keys() == {"Python", "Rust", "JSON"}
    assert sampled_from(rows, max_repo_bytes=total).decisions == []
    # A file that alone is larger does not take the place of others.
    assert sampled_from(rows, max_repo_bytes=10).documents == []


@given(
    st.dictionaries(st.sampled_from(["Python", "Rust", "JSON"]), st.floats(0, 4), max_size=3),
    st.one_of(st.none(), st.integers(1, 2000)),
    st.integers(0, 5),
)
def test_every_file_is_read_or_in_the_ledger(
    languages: dict[str, float], cap: int | None, seed: int
) -> None:
    rows = rows_of("a", 30)
    config = SampleConfig(languages=languages, max_repo_bytes=cap, seed=seed)
    copies, decisions = copies_of(rows, config)
    left_out = Counter(decision["file_id"] for decision in decisions)
    for row, count in zip(rows, copies, strict=True):
        assert left_out[row["file_id"]] == (count == 0)
        assert count == 0 or abs(count - languages.get(row["language"], 1.0)) < 1
    if cap is not None:
        assert sum(n * row["size"] for n, row in zip(copies, rows, strict=True)) <= cap


def test_what_is_held_out_stays_whole() -> None:
    rows = rows_of("a", 30) + rows_of("b", 30)
    config = SampleConfig(languages={"Rust": 0.0, "JSON": 3.0}, max_repo_bytes=100)
    holdout = Holdout(0, 1e-9, always="b")
    table = pa.Table.from_pylist(rows)
    found = sample_partition(table, edges_of(rows), config, make_mix(config), holdout)
    (document,) = found.heldout
    assert sorted(document["file_ids"]) == sorted(row["file_id"] for row in rows[30:])
    assert set(document["strategies"]) == {"heldout"}
    assert {row["repo"] for row in (*found.documents, *found.decisions)} == {"a"}
    assert found.counts()["totals"]["heldout_files"] == 30


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


def example(count: int) -> Repository:
    rows = rows_of("a", count)
    files = [SourceFile(row["path"], row["language"], row["content"]) for row in rows]
    edges = [(i, (i * 3 + 1) % count, 1.0) for i in range(count)]
    return Repository(files, edges, seed=0)


@given(st.integers(1, 12), st.data())
def test_statistics_are_what_they_say(count: int, data: st.DataObject) -> None:
    repository = example(count)
    order = data.draw(st.permutations(range(count)))
    cuts = sorted(data.draw(st.sets(st.integers(1, count))) | {0, count})
    documents = [
        [Placed(index, "xy"[index % 2]) for index in order[start:end]]
        for start, end in pairwise(cuts)
    ]
    dense = repository.vectors.toarray().astype(np.float64)
    values: dict[str, dict[str, list[float]]] = {name: {} for name in statistics.MEASURES}
    edges = within = first = 0
    for document in documents:
        for at, file in enumerate(document):
            row = dense[file.index]
            others = [row @ dense[other.index] for other in document if other is not file]
            if others:
                values["similarity"].setdefault(file.strategy, []).append(float(np.mean(others)))
            if at:
                before = document[at - 1].index
                folders = repository.folders[before], repository.folders[file.index]
                values["neighbour_similarity"].setdefault(file.strategy, []).append(
                    float(row @ dense[before])
                )
                values["path_similarity"].setdefault(file.strategy, []).append(
                    path_similarity(*folders)
                )
    document_of = {file.index: at for at, document in enumerate(documents) for file in document}
    for source, target, _ in repository.edges:
        if source != target:
            edges += 1
            if document_of[source] == document_of[target]:
                within += 1
                first += order.index(target) < order.index(source)
    found = means(measure(repository, documents))
    for name, by_strategy in values.items():
        everything = [value for some in by_strategy.values() for value in some]
        expected = {strategy: np.mean(some) for strategy, some in by_strategy.items()}
        if everything:
            expected["all"] = np.mean(everything)
        assert found[name] == pytest.approx(expected, abs=2e-6)
    assert found["dependencies"] == {"edges": edges, "within": within, "callee_first": first}


def test_sums_add_up_in_any_order() -> None:
    parts = [sampled_from(rows_of(repo, 20)).sums for repo in "abc"]
    whole = sampled_from([row for repo in "abc" for row in rows_of(repo, 20)]).sums
    assert add_sums(parts) == add_sums(parts[::-1]) == whole
    assert means(add_sums([]))["dependencies"]["edges"] == 0


@pytest.mark.skipif(not HAS_NUMBA, reason="it is not compiled")
def test_cosines_are_the_same_uncompiled() -> None:
    vectors = example(20).vectors
    given = (vectors.indptr, vectors.indices, vectors.data)
    order, ends = np.arange(20)[::-1].copy(), np.array([3, 4, 20])
    for a, b in zip(
        statistics._cosines(*given, order, ends, np.zeros(vectors.shape[1])),
        statistics._cosines.py_func(*given, order, ends, np.zeros(vectors.shape[1])),
        strict=True,
    ):
        assert np.array_equal(a, b)
