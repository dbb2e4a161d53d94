"""The benchmark of near deduplication: its truth, its corpus, its clock, and one run of it."""

import json
import os
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.dedup.clone_corpus import SourceFile, clone_of
from benchmarks.dedup.edits import EDITS
from benchmarks.dedup.exact_pairs import exact_pairs, jaccard, shingle_set
from benchmarks.dedup.measure import measure
from benchmarks.dedup.scores import found_pairs, score


def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}


def test_the_truth_is_what_comparing_all_with_all_gives(tmp_path: Path) -> None:
    draw = random.Random(3)
    words = [f"w{i}" for i in range(30)]
    texts = ["", "one", "one two", "+ - *"]
    for _ in range(25):
        text = [draw.choice(words) for _ in range(draw.randint(3, 60))]
        texts.append(" ".join(text))
        for _ in range(3):
            text[draw.randrange(len(text))] = draw.choice(words)
            texts.append("  ".join(text))
    ids = [f"{i:03}" for i in range(len(texts))]
    table = tmp_path / "files.parquet"
    pq.write_table(pa.table({"id": ids, "content": texts}), table, row_group_size=40)
    expected = {}
    for (a, one), (b, other) in combinations(zip(ids, texts, strict=True), 2):
        value = jaccard(shingle_set(one.encode()), shingle_set(other.encode()))
        if value >= 0.5:
            expected[a, b] = value
    pairs = exact_pairs(table, 0.5).to_pylist()
    assert {(pair["a"], pair["b"]): pair["similarity"] for pair in pairs} == expected
    assert len(expected) > 50


@pytest.mark.parametrize("kind", EDITS)
def test_clones_are_as_similar_as_they_say(kind: str) -> None:
    content = Path(random.__file__).read_text()
    base = SourceFile("cpython", "random.py", "Python", content)
    clone, text = clone_of(base, kind, seed=1)
    assert clone_of(base, kind, seed=1) == (clone, text)
    assert text != content
    exact = jaccard(shingle_set(content.encode()), shingle_set(text.encode()))
    assert clone.similarity == pytest.approx(exact)
    strong, weak = (EDITS[kind](content, strength, random.Random(0)) for strength in (0.9, 0.1))
    assert jaccard(shingle_set(content.encode()), shingle_set(strong.encode())) < jaccard(
        shingle_set(content.encode()), shingle_set(weak.encode())
    )


def test_processes_that_outlive_their_parent_are_counted(root: Path, tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.6: pass"
    orphan = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {burn!r}])"
    log = tmp_path / "run.log"
    usage = measure([sys.executable, "-c", orphan], log, environment(root), 60.0)
    assert usage.code == 0
    assert 0.6 <= usage.cpu_s < 3.0
    assert usage.peak_bytes > 5e6
    ended = measure(["sleep", "60"], log, environment(root), 0.5)
    assert ended.code == 124
    assert ended.wall_s < 10


def test_scores(tmp_path: Path) -> None:
    clusters = {"id": ["a", "b", "c"], "cluster": ["1", "1", "1"]}
    pq.write_table(pa.table(clusters), tmp_path / "clusters.parquet")
    found = found_pairs(tmp_path)
    assert found == {("a", "b"), ("a", "c"), ("b", "c")}
    similar = {("a", "b"), ("b", "c"), ("d", "e"), ("f", "g")}
    scores = score("abcdefg", similar, {"a", "d", "e", "f"}, found)
    assert scores.recall == 2 / 4
    assert scores.precision == 2 / 3
    assert scores.resolved == 3 / 4  # d and e were both kept
    assert scores.rightly_removed == 2 / 3  # c is like b only, and b went too
    assert score("ab", set(), {"a", "b"}, None).recall is None


def test_a_small_run(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.dedup", "--megabytes", "1", "--no-kernel"]
    options = ["--tools", "treespan", "--work", str(tmp_path)]
    subprocess.run([*command, *options], cwd=root, env=environment(root), check=True)
    corpus = tmp_path / "corpus-1-0"
    result = json.loads((corpus / "result.json").read_text())
    assert result["corpus"]["clones"] == 22
    assert result["corpus"]["bytes"] == pytest.approx(1e6, rel=0.5)
    (tool,) = result["tools"]
    assert tool["precision"] == 1.0
    assert tool["recall"] >= 0.9
    assert tool["rightly_removed"] == 1.0
    assert "| treespan |" in (corpus / "result.md").read_text()
    clones = pq.read_table(corpus / "clones.parquet")
    assert np.ptp(clones["similarity"].to_numpy()) > 0.1
