"""The benchmark of the graph: its corpus, its picture, and one run of it. No timing is judged."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.graph.__main__ import main
from benchmarks.graph.corpus import one_repository, repositories, some_of
from benchmarks.graph.picture import share_picture
from benchmarks.graph.speed import SIZES, measure_speed

from treespan.jobs.graph.build import ImportCounts
from treespan.jobs.graph.read import total_bytes


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Two repositories of twenty modules; each imports the one before it."""
    for repo in ("one", "two"):
        (tmp_path / repo).mkdir()
        for number in range(20):
            before = f"import m{number - 1:02}\n" if number else ""
            text = f"{before}def f{number:02}():\n    return {number:02}\n"
            (tmp_path / repo / f"m{number:02}.py").write_text(text)
    return [str(tmp_path / repo) for repo in ("one", "two")]


def test_text_of_many_repositories_is_cut_to_a_size(folders: list[str]) -> None:
    found = [repository for folder in folders for repository in repositories(folder)]
    whole = sum(total_bytes(files) for _, files in found)
    taken = some_of(found, 10_000)
    assert [len(files) for _, files in taken] == [20, 20]
    assert sum(total_bytes(files) for _, files in some_of(found, whole)) <= whole // 5
    half = one_repository(found, 0.5)
    assert 0.4 * whole < total_bytes(half) <= 0.5 * whole
    assert {file.path.split("/")[0] for file in half} == {"0", "1"}


def test_every_size_is_measured(folders: list[str]) -> None:
    found = [repository for folder in folders for repository in repositories(folder)]
    speeds = list(measure_speed(found, rounds=1))
    assert [speed.size for speed in speeds] == list(SIZES)
    assert [speed.files for speed in speeds] == sorted(speed.files for speed in speeds)
    assert speeds[-1].files == 40
    assert speeds[-1].parsed_megabytes == speeds[-1].megabytes
    assert speeds[-1].edges >= 38


def test_the_picture_tells_each_share_and_is_the_same_each_time() -> None:
    total = {"Python": ImportCounts(9, 8, 6), "Go": ImportCounts(4, 0, 0)}
    drawn = share_picture(total)
    assert drawn == share_picture(total)
    texts = "".join(ElementTree.fromstring(drawn).itertext())
    assert "75.0% of 8" in texts
    assert "Go" not in texts


def test_a_run(folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one" / "late.py").write_text("from . import gone\n")
    picture = tmp_path / "shares.svg"
    main([*folders, "--unresolved", "3", "--picture", str(picture)])
    said = capsys.readouterr().out
    assert "| Python | 2 | 39 | 39 | 38 | 0.9744 |" in said
    assert "late.py" in said
    assert picture.read_text().startswith("<?xml")
    main([*folders, "--grow", "0.01"])
    assert [line.split(" |")[0] for line in capsys.readouterr().out.splitlines()[2:]] == [
        "| x1",
        "| x3",
        "| x10",
    ]
