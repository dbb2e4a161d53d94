"""What becomes of the files of repositories that are dropped; no Ray."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.decide import decide
from treespan.jobs.curate.duplicates import read_keys
from treespan.jobs.curate.exact_dedup import exact_links
from treespan.jobs.curate.meetings import content_keys
from treespan.jobs.curate.publish import publish_partition
from treespan.jobs.curate.repositories import decide_repositories
from treespan.jobs.curate.scratch import DECIDED, EDGES
from treespan.jobs.curate.screen import screen_partition
from treespan.platform.schemas import FILES, batches
from treespan.platform.store import Store

CONFIG = CurateConfig.model_validate({"ranking": {"min_repositories": 4, "drop_share": 0.25}})


def file(repo: str, path: str, seed: int, stars: int, **more: Any) -> dict[str, Any]:
    content = "".join(f"value_{seed}_{i} = call_{seed}({i}, other_{i})\n" for i in range(30))
    content = more.pop("before", "") + content
    row = {
        "file_id": f"{repo}/{path}",
        "repo": repo,
        "commit": "",
        "path": path,
        "language": "",
        "content": content,
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
        "size": len(content),
        "licence": "MIT",
        "stars": stars,
        "commits": stars,
        "authors": stars,
        "test_files": 0,
        "source": "git",
    }
    return {**row, **more}


CORPUS = [
    *[file("fork", f"m{i}.py", i, 3) for i in range(6)],
    file("fork", "gen.py", 7, 3, before="# @generated\n"),
    file("fork", "gpl.py", 8, 3, licence="GPL-3.0-only"),
    *[file("upstream", f"m{i}.py", i, 50) for i in range(6)],
    # The best known copy of a file of the repository that is ranked out stays there no longer.
    *[file("lowest", f"l{i}.py", 100 + i, 0) for i in range(2)],
    *[file("good", f"g{i}.py", 200 + i, 9) for i in range(2)],
    file("good", "copy.py", 100, 9),
    file("other", "o.py", 300, 8),
    file("lowest", "copy.py", 300, 0),
]


def curate(store: Store, config: CurateConfig) -> dict[str, Any]:
    store.write_table("in.arrow", FILES, batches(FILES, CORPUS))
    screen_partition(store, "in.arrow", "work", 0, config)
    table = store.read_table("work/keys/part-00000.arrow")
    refs = table["ref"].to_numpy()
    links = exact_links(content_keys(table["sha256"].to_pylist()), refs)
    keys = read_keys(store, "work", np.unique(links))
    copies = zip(keys["sha256"].to_pylist(), keys["repo"].to_pylist(), strict=True)
    verdicts, receipt = decide_repositories(store, "out", "work", 1, copies, config)
    columns = [pa.array(links[:, 0]), pa.array(links[:, 1]), pa.nulls(len(links), pa.float64())]
    drops = decide(pa.Table.from_arrays(columns, schema=EDGES), keys, verdicts.gone)
    store.write_table("decided.arrow", DECIDED, drops.to_batches())
    decided = ["decided.arrow"]
    published = publish_partition(store, "in.arrow", "out", "work", 0, decided, config)
    ledger = store.read_table("out/ledger/part-00000.arrow").to_pylist()
    files = store.read_table("out/files/part-00000.arrow").to_pylist()
    return {
        "rules": {row["file_id"]: row for row in ledger},
        "kept": [row["file_id"] for row in files],
        "counts": receipt.counts,
        "funnel": published.counts["funnel"],
        "table": store.read_table("out/repositories.arrow").to_pylist(),
    }


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return curate(Store(str(tmp_path_factory.mktemp("store"))), CONFIG)


def test_a_fork_goes_whole_and_its_rows_name_the_upstream(curated: dict[str, Any]) -> None:
    row = curated["rules"]["fork/m0.py"]
    assert (row["rule"], row["value"], row["threshold"]) == ("repository-duplicate", 1.0, 0.8)
    assert (row["detail"], row["similarity"], row["matched_id"]) == ("upstream", 1.0, "")
    # Rules come in their order: the licence before the repository, that before the generated.
    assert curated["rules"]["fork/gpl.py"]["rule"] == "licence"
    assert curated["rules"]["fork/gen.py"]["rule"] == "repository-duplicate"
    assert {f"upstream/m{i}.py" for i in range(6)} <= set(curated["kept"])


def test_the_lowest_goes_and_wins_no_duplicate(curated: dict[str, Any]) -> None:
    row = curated["rules"]["lowest/l0.py"]
    assert row["rule"] == "ranking"
    assert row["value"] < row["threshold"]
    assert curated["rules"]["lowest/copy.py"]["rule"] == "ranking"
    assert {"good/copy.py", "other/o.py"} <= set(curated["kept"])
    assert len(curated["kept"]) + len(curated["rules"]) == len(CORPUS)
    assert curated["funnel"] == {
        "repository-duplicate": {"Python": 7},
        "licence": {"Python": 1},
        "ranking": {"Python": 3},
        "kept": {"Python": 10},
    }


def test_every_score_can_be_found(curated: dict[str, Any]) -> None:
    by_name = {row["repo"]: row for row in curated["table"]}
    assert {repo: row["dropped"] for repo, row in by_name.items()} == {
        "fork": "repository-duplicate",
        "good": "",
        "lowest": "ranking",
        "other": "",
        "upstream": "",
    }
    assert by_name["fork"]["matched_repo"] == "upstream"
    assert by_name["fork"]["score"] is None
    assert by_name["fork"]["files"] == 7
    assert by_name["fork"]["contents"] == 6
    found = {repo: row["score"] for repo, row in by_name.items() if row["score"] is not None}
    assert sorted(found, key=lambda repo: found[repo]) == ["lowest", "other", "good", "upstream"]
    assert curated["rules"]["lowest/l0.py"]["threshold"] == found["other"]
    assert curated["counts"] == {
        "repositories": 5,
        "duplicates": 1,
        "lookups_left_out": 0,
        "ranked": 4,
        "ranked_out": 1,
        "cut_score": found["other"],
    }


def test_both_can_be_switched_off(tmp_path: Path) -> None:
    off = {"ranking": {"enabled": False}, "repository_dedup": {"enabled": False}, "index": False}
    found = curate(Store(str(tmp_path)), CurateConfig.model_validate(off))
    assert set(found["funnel"]) == {"licence", "generated", "exact-duplicate", "kept"}
    # Without them the file of the better known repository stays, file by file.
    assert "upstream/m0.py" in found["kept"]
    assert not (tmp_path / "out" / "index").exists()
