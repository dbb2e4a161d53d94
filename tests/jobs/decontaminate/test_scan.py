"""Planted contamination is found, clean files are not touched."""

import sysconfig
from pathlib import Path

import numpy as np
import pytest

from treespan.jobs.decontaminate.benchmarks import Item, read_items
from treespan.jobs.decontaminate.config import DecontaminateConfig
from treespan.jobs.decontaminate.index import Index, build_index, read_index, write_index
from treespan.jobs.decontaminate.scan import longest_run, scan
from treespan.platform.store import Store

CLEAN = "".join(f"def clean_{i}(value):\n    return other_{i}(value) + {i}\n" for i in range(50))
CONFIG = DecontaminateConfig()


@pytest.fixture(scope="module")
def items(benchmark: Path) -> list[Item]:
    return read_items(
        DecontaminateConfig.model_validate({"benchmarks": [{"path": str(benchmark)}]}).benchmarks
    )


@pytest.fixture(scope="module")
def index(items: list[Item]) -> Index:
    return build_index(items, CONFIG)


@pytest.fixture(scope="module")
def solution(items: list[Item]) -> str:
    """What a leaked copy of HumanEval/0 looks like."""
    (item,) = (item for item in items if item.name == "HumanEval/0")
    return next(iter(item.wholes)).decode()


def hit(text: str, index: Index, common: tuple[int, ...] = ()) -> tuple[str, int] | None:
    hits = scan(text.encode(), index, CONFIG.near_containment)
    is_common = np.zeros(len(index.runs.hashes), dtype=np.bool_)
    is_common[list(common)] = True
    run = longest_run(hits, index, is_common)
    return None if run is None else (index.names[run.item], run.words)


def test_verbatim_inside_a_larger_file(index: Index, solution: str) -> None:
    words = len(solution.replace("(", " ").split())
    name, longest = hit(CLEAN + solution + CLEAN, index) or ("", 0)
    assert name == "HumanEval/0"
    assert longest >= words - 5


def test_other_spaces_and_punctuation(index: Index, solution: str) -> None:
    spread = "\r\n\t ".join(solution.replace('"""', "'''").split(" "))
    assert (hit(spread, index) or ("",))[0] == "HumanEval/0"


def test_comments_between_the_lines(index: Index, solution: str) -> None:
    lines = solution.splitlines()
    commented = "".join(f"{line}  # step {n} of it\n" for n, line in enumerate(lines))
    assert (hit(commented, index) or ("",))[0] == "HumanEval/0"


def test_nine_words_are_no_run_and_ten_are(index: Index, solution: str) -> None:
    sentence = [
        "Give",
        "every",
        "thirsty",
        "plant",
        "an",
        "equal",
        "share",
        "of",
        "the",
        "litres",
        "that",
        "remain",
    ]
    assert hit(CLEAN + "# " + " ".join(sentence[:9]) + "\n" + CLEAN, index) is None
    ten = hit(CLEAN + "# " + " ".join(sentence[:10]) + "\n" + CLEAN, index)
    assert ten == ("HumanEval/0", 10)


def test_clean_files_are_not_hit(index: Index) -> None:
    assert not scan(CLEAN.encode(), index, CONFIG.near_containment)
    assert not scan(b"", index, CONFIG.near_containment)
    library = Path(sysconfig.get_path("stdlib"))
    for module in ("ast.py", "csv.py", "json/decoder.py", "random.py"):
        assert not scan((library / module).read_bytes(), index, CONFIG.near_containment)


def test_the_frame_of_the_tests_is_boilerplate(index: Index, items: list[Item]) -> None:
    frame = min(items[0].parts, key=len).decode()
    assert "METADATA" in frame
    assert index.boilerplate > 0
    assert hit(CLEAN + frame, index) is None
    counting = build_index(items, CONFIG.model_copy(update={"max_problems": 12}))
    assert hit(CLEAN + frame, counting) is not None


def test_runs_that_are_common_in_the_corpus_do_not_count(index: Index, solution: str) -> None:
    everything = tuple(range(len(index.runs.hashes)))
    assert hit(solution, index) is not None
    assert hit(solution, index, everything) is None


def test_an_edited_copy_is_a_near_match(index: Index, solution: str) -> None:
    """Every ninth word is another one: no ten words in a row are left."""
    words = solution.split()
    edited = " ".join(f"{w} edit{n}" if n % 9 == 8 else w for n, w in enumerate(words))
    shuffled = CLEAN + edited
    hits = scan(shuffled.encode(), index, 0.4)
    assert index.names[hits.near_item] == "HumanEval/0"
    assert 0.4 <= hits.containment < 1
    assert scan(shuffled.encode(), index, 0.999).near_item == -1
    assert scan(shuffled.encode(), index, None).near_item == -1


def test_containment_is_exact(index: Index, solution: str) -> None:
    """Against sets of word tuples."""
    import re

    def shingles(text: str) -> set[tuple[str, ...]]:
        words = re.findall(r"\w+", text)
        return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}

    half = solution[: len(solution) * 3 // 4]
    expected = len(shingles(half) & shingles(solution)) / len(shingles(solution))
    assert scan(half.encode(), index, 0.01).containment == pytest.approx(expected)


def test_numbers_and_short_texts_do_not_count() -> None:
    items = [
        Item("B", "numbers", "numbers", {b" ".join(b"%d" % i for i in range(40))}),
        Item("B", "alphabet", "alphabet", {b"a b c d e f g h i j k l m n o p"}),
        Item("B", "short", "short", {b"return the sum of numbers"}),
        Item("B", "eight", "eight", {b"Return length of a given string without blanks"}),
    ]
    index = build_index(items, CONFIG)
    assert index.sizes == (8,)
    for item in items[:3]:
        (text,) = item.parts
        assert hit(text.decode(), index) is None
    assert hit("# return. Return length of a given string, without blanks!", index) == (
        "B/eight",
        8,
    )


def test_translations_of_a_problem_are_one_problem() -> None:
    text = b"Give every thirsty plant an equal share of the litres"
    items = [Item("M", f"{n}/garden", "garden", {text}) for n in range(13)]
    assert hit(text.decode(), build_index(items, CONFIG)) == ("M/0/garden", 10)
    apart = [Item("M", f"garden{n}", f"garden{n}", {text}) for n in range(13)]
    assert hit(text.decode(), build_index(apart, CONFIG)) is None


def test_a_stored_index_is_the_same(index: Index, solution: str, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write_index(store, "index", index)
    again = read_index(store.uri, "index")
    assert again.names == index.names
    assert again.runs.items.tolist() == index.runs.items.tolist()
    assert hit(CLEAN + solution, again) == hit(CLEAN + solution, index)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "index").iterdir())
    assert b"thirsty" not in stored
