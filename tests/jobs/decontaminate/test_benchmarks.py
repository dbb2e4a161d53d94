"""Reading benchmark files, known and unknown."""

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from treespan.jobs.decontaminate.benchmarks import (
    fingerprint,
    list_benchmarks,
    read_items,
)
from treespan.jobs.decontaminate.config import BenchmarkSource, DecontaminateConfig
from treespan.jobs.decontaminate.index import build_index
from treespan.platform.errors import UserError

Write = Callable[[Path, list[dict[str, Any]]], Path]


def source(path: Path, **values: Any) -> tuple[BenchmarkSource]:
    return (BenchmarkSource.model_validate({"path": str(path), **values}),)


def test_all_known_sets_parse_and_every_item_can_be_found(eval_data: Path) -> None:
    items = read_items(source(eval_data))
    assert Counter(item.benchmark for item in items) == {
        "HumanEval": 164,
        "HumanEval-Infilling": 164,
        "MBPP": 974,
        "MultiPL-E": 2066,
        "SantaCoder-FIM": 444,
        "CrossCodeEval": 110,
        "RepoEval": 228,
    }
    names = {item.name for item in items}
    assert {"HumanEval/3", "HumanEval-Infilling/HumanEval/3", "MBPP/601"} <= names
    assert any(name.startswith("MultiPL-E/java/HumanEval_23_") for name in names)
    index = build_index(items, DecontaminateConfig())
    assert len(set(index.runs.items.tolist())) >= 0.99 * len(items)


def test_fields_make_any_file_a_benchmark(tmp_path: Path, jsonl: Write) -> None:
    records = [
        {"id": 7, "question": "how?", "meta": {"answer": ["so", "and so"]}},
        {"id": 8, "question": "why?", "meta": {"answer": None}},
    ]
    path = jsonl(tmp_path / "ours.jsonl", records)
    items = read_items(source(path, fields=["question", "meta.answer"]))
    assert [item.name for item in items] == ["ours/7", "ours/8"]
    assert items[0].parts == {b"how?", b"so\nand so"}
    (named, _) = read_items(source(path, fields=["question"], name="Ours"))
    assert named.name == "Ours/7"
    nameless = jsonl(tmp_path / "nameless.jsonl", [{"text": "how"}, {"text": "why"}])
    assert [i.id for i in read_items(source(nameless, fields=["text"]))] == ["line-1", "line-2"]


def test_gzip_reads_the_same(benchmark: Path, tmp_path: Path) -> None:
    packed = tmp_path / "HumanEval.jsonl.gz"
    packed.write_bytes(gzip.compress(benchmark.read_bytes()))
    assert read_items(source(packed)) == read_items(source(benchmark))


def test_the_fingerprint_is_of_the_content(tmp_path: Path, jsonl: Write) -> None:
    path = jsonl(tmp_path / "mbpp.jsonl", [{"text": "a"}])
    before = fingerprint(source(path))
    assert fingerprint(source(path)) == before
    jsonl(path, [{"text": "b"}])
    assert fingerprint(source(path)) != before
    assert before[0][:2] == ["MBPP", "mbpp.jsonl"]


def test_repositories_count_only_around_the_hole(tmp_path: Path, jsonl: Write) -> None:
    header = " ".join(f"licence{i}" for i in range(50))
    record = {
        "prompt": f"{header} before = ",
        "groundtruth": "call(the, hole)",
        "right_context": "\n" + header,
        "metadata": {"task_id": "p/1"},
    }
    (item,) = read_items(source(jsonl(tmp_path / "cceval" / "python.jsonl", [record])))
    (part,) = item.parts
    assert b"licence49 before = call(the, hole)\nlicence0" in part
    assert b"licence10" not in part.partition(b"before")[0]
    assert header.encode() in next(iter(item.wholes))


@pytest.mark.parametrize(
    ("name", "text", "fields", "said"),
    [
        ("missing.jsonl", None, None, "does not exist"),
        ("ours.jsonl", "{}", None, "no known benchmark by its name"),
        ("ours.jsonl", '{"question": "a"}', ["questoin"], "Did you mean 'question'?"),
        ("ours.jsonl", '{"a": {"question": "b"}}', ["a.questoin"], "Did you mean 'a.question'?"),
        ("ours.jsonl", '{"a": 1}', ["zzz"], "It has: a."),
        ("ours.jsonl", '{"a": 1}', ["a"], "is no text (int)"),
        ("ours.jsonl", '{"a": ', ["a"], "no JSON record after line 1"),
        ("ours.jsonl", '["a"]', ["a"], "no JSON record after line 1"),
        ("ours.jsonl.gz", "plain", ["a"], "no JSON record after line 0"),
        ("ours.jsonl", '{"a": ""}', ["a"], "hold no text"),
        ("HumanEval.jsonl", '{"promt": "a"}', None, "Did you mean 'promt'?"),
    ],
)
def test_errors_say_what_to_do(
    tmp_path: Path, name: str, text: str | None, fields: list[str] | None, said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text + "\n")
    with pytest.raises(UserError) as caught:
        read_items(source(tmp_path / name, fields=fields))
    assert said in str(caught.value)


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"holds no \.jsonl"):
        list_benchmarks(source(tmp_path))
