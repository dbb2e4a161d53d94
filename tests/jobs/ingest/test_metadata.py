import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.metadata import Described, Known, read_metadata
from treespan.jobs.ingest.read import read_repository
from treespan.jobs.ingest.step import fingerprint, list_repositories
from treespan.platform.errors import UserError

ROWS = [
    {"repo": "org/a", "stars": 7, "licence": "mit"},
    {"repo": "org/a", "stars": 9, "licence": "Apache-2.0"},
    {"repo": "org/b", "stars": None, "licence": "what the README says"},
    {"repo": "else/where", "stars": 5, "licence": None},
]
NAMES = ["github.com/org/a", "github.com/org/b", "here"]
FOUND = {"github.com/org/a": Known(9, "MIT"), "github.com/org/b": Known(-1, "")}


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)


def json_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def comma_separated(path: Path, rows: list[dict[str, Any]]) -> None:
    pacsv.write_csv(pa.Table.from_pylist(rows), path)


FORMATS = {".parquet": parquet, ".jsonl.gz": json_lines, ".csv": comma_separated}


def settings(folder: Path, *tables: dict[str, Any]) -> IngestConfig:
    return IngestConfig.model_validate(
        {"sources": [{"kind": "directory", "path": str(folder)}], "metadata": tables}
    )


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_says_the_same(ending: str, tmp_path: Path) -> None:
    FORMATS[ending](tmp_path / f"stars{ending}", ROWS)
    for path in (f"{tmp_path}/stars{ending}", str(tmp_path), f"file://{tmp_path}/stars{ending}"):
        tables = settings(tmp_path, {"path": path, "prefix": "github.com/"}).metadata
        found, counts = read_metadata(tables, NAMES)
        assert found == FOUND
        assert counts == {"rows": 4, "rows_of_others": 1, "repositories": 2}


def test_names_of_digits_and_several_tables(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("id,stargazers\n007,12.0\n08,\n")
    comma_separated(tmp_path / "two.csv", [{"repo": "007", "licence": "ISC"}])
    columns = {"repo": "id", "stars": "stargazers"}
    tables = settings(
        tmp_path,
        {"path": str(tmp_path / "one.csv"), "columns": columns},
        {"path": str(tmp_path / "two.csv")},
    ).metadata
    assert read_metadata(tables, ["007", "7"])[0] == {"007": Known(12, "ISC")}


@pytest.mark.parametrize(("own", "stars"), [(3, 9), (20, 20), (-1, 9)])
def test_a_repository_is_described(
    own: int, stars: int, tmp_path: Path, ingest: Callable[..., Any]
) -> None:
    table = tmp_path / "t.jsonl"
    row = {"repo": "r", "path": "a.py", "content": "x = 1\n", "stars": own}
    table.write_text(json.dumps(row) + "\n")
    config = IngestConfig.model_validate({"sources": [{"kind": "table", "path": str(table)}]})
    (repository,) = list_repositories(config)
    described = Described(repository, Known(9, "ISC"))
    (read,) = read_repository(described, config, [])
    assert (read["stars"], read["licence"], read["source"]) == (stars, "ISC", "table")


def test_a_known_licence_stays(folder: Path) -> None:
    config = settings(folder)
    (repository,) = list_repositories(config)
    rows = read_repository(Described(repository, Known(1, "ISC")), config, [])
    assert {row["path"]: row["licence"] for row in rows}["src/a.py"] == "MIT"


def test_the_fingerprint_follows_the_table(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "stars.csv"
    table.write_text("repo,stars\nproject,1\n")
    config = settings(folder, {"path": str(table)})
    before = fingerprint(config)
    assert fingerprint(config) == before
    table.write_text("repo,stars\nproject,10\n")
    assert fingerprint(config) != before


def test_wrong_tables_say_what_and_how(tmp_path: Path) -> None:
    (tmp_path / "stars.csv").write_text("repository,star\nx,1\n")
    (tmp_path / "bare.csv").write_text("repo,forks\nx,1\n")
    (tmp_path / "bad.csv").write_text("repo,stars\nx,1,2\n")

    def read(name: str, **columns: str) -> None:
        read_metadata(
            settings(tmp_path, {"path": str(tmp_path / name), "columns": columns}).metadata, ["x"]
        )

    with pytest.raises(UserError, match=r"no column 'repo'.*nearest is 'repository'.*columns.repo"):
        read("stars.csv")
    with pytest.raises(UserError, match=r"no column 'stars' \(stars\); the nearest is 'star'"):
        read("stars.csv", repo="repository", stars="stars")
    with pytest.raises(UserError, match=r"neither stars nor licences; it has repo, forks"):
        read("bare.csv")
    with pytest.raises(UserError, match="not a readable CSV file"):
        read("bad.csv")
    with pytest.raises(UserError, match="does not exist"):
        read("none.csv")
