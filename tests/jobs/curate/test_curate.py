"""Ingest and curate end to end, on Ray: every rule leaves its row, and runs agree to the byte."""

from pathlib import Path
from typing import Any

import pytest

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.known import known_state
from treespan.jobs.curate.similar import search
from treespan.jobs.curate.step import make_step as make_curate
from treespan.jobs.curate.step import nothing_left
from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.ingest.step import make_step as make_ingest
from treespan.platform.errors import UserError, find_user_error
from treespan.platform.ledger import read_decisions
from treespan.platform.progress import Progress
from treespan.platform.run_record import write_run
from treespan.platform.steps import Output, execute
from treespan.platform.store import Store


def code(seed: int, lines: int = 60) -> str:
    return "".join(f"value_{seed}_{i} = call_{seed}({i}, other_{i})\n" for i in range(lines))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Repositories in which every rule finds one file; one is a fork of another."""
    files = {
        "good/LICENSE": "SPDX-License-Identifier: MIT\n",
        "good/main.py": code(1),
        "good/tests/test_main.py": code(2),
        "good/zcopy.py": code(1),
        "good/notes.txt": "some words that are not a program\n",
        "good/vendor/lib.py": code(3),
        "good/gen.py": "# @generated\n" + code(4),
        "good/app.min.js": "let x = 1; let y = 2; let z = 3\n",
        "good/tiny.py": "x = 1\n",
        "good/wide.py": code(5) + "# " + "x" * 1000 + "\n",
        "good/broad.py": "".join(f"value = {'name + ' * 20}{i}\n" for i in range(20)),
        "good/symbols.py": "a = b + c - d * e\n" + "#" + "=" * 90 + "\n",
        "good/broken.py": code(6) + "def f(:\n",
        "near/LICENSE": "SPDX-License-Identifier: MIT\n",
        "near/main.py": code(1).replace("call_1(7,", "changed(7,"),
        "near/fine.py": code(7),
        "unknown/main.py": code(8),
        "lib/LICENSE": "SPDX-License-Identifier: MIT\n",
        **{f"lib/m{i}.py": code(10 + i) for i in range(6)},
        "lib-fork/LICENSE": "SPDX-License-Identifier: MIT\n",
        **{f"lib-fork/m{i}.py": code(10 + i) for i in range(5)},
        "lib-fork/app.min.js": "let x = 1; let y = 2; let z = 3\n",
    }
    root = tmp_path / "corpus"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def curate(corpus: Path, store: Store, **settings: Any) -> Output:
    source = {"kind": "directory", "path": str(corpus), "each_subfolder": True}
    ingest = make_ingest(IngestConfig.model_validate({"sources": [source], "partitions": 3}))
    step = make_curate(CurateConfig.model_validate(settings))
    ingested = execute(ingest, store, {}, Progress(quiet=True))
    return execute(step, store, {"ingest": ingested}, Progress(quiet=True))


@pytest.mark.ray
def test_every_rule_is_told_and_runs_agree(corpus: Path, tmp_path: Path, ray_cluster: None) -> None:
    store = Store(str(tmp_path / "one"))
    output = curate(corpus, store)

    def rule_of(repo: str, path: str) -> str:
        (row,) = read_decisions(store, output.folder, repo, path)
        assert row["step"] == "curate"
        return str(row["rule"])

    assert {
        path: rule_of(repo, path)
        for repo, path in (
            ("good", "LICENSE"),
            ("good", "zcopy.py"),
            ("good", "notes.txt"),
            ("good", "vendor/lib.py"),
            ("good", "gen.py"),
            ("good", "app.min.js"),
            ("good", "tiny.py"),
            ("good", "wide.py"),
            ("good", "broad.py"),
            ("good", "symbols.py"),
            ("good", "broken.py"),
            ("unknown", "main.py"),
        )
    } == {
        "LICENSE": "language",
        "zcopy.py": "exact-duplicate",
        "notes.txt": "language",
        "vendor/lib.py": "vendored",
        "gen.py": "generated",
        "app.min.js": "minified",
        "tiny.py": "words",
        "wide.py": "line-length",
        "broad.py": "mean-line-length",
        "symbols.py": "alphanumeric",
        "broken.py": "syntax",
        "main.py": "licence",
    }
    assert rule_of("near", "main.py") == "near-duplicate"
    rows = [row for name in output.files("files") for row in store.read_table(name).to_pylist()]
    kept = {(row["repo"], row["path"]): row for row in rows}
    assert set(kept) == {
        ("good", "main.py"),
        ("good", "tests/test_main.py"),
        ("near", "fine.py"),
        *(("lib", f"m{i}.py") for i in range(6)),
    }
    assert {row["language"] for row in rows} == {"Python"}
    (near,) = read_decisions(store, output.folder, "near", "main.py")
    assert near["matched_id"] == kept["good", "main.py"]["file_id"]
    assert 0.85 <= near["similarity"] < 1.0
    assert (near["value"], near["threshold"]) == (near["similarity"], 0.85)
    counts = output.counts
    assert (counts["input_files"], counts["output_files"], counts["repositories"]) == (31, 9, 3)
    assert sum(sum(by.values()) for by in counts["funnel"].values()) == 31
    assert list(counts["funnel"])[:4] == ["language", "licence", "repository-duplicate", "minified"]
    assert counts["repository_rules"]["duplicates"] == 1
    assert {rule_of("lib-fork", path) for path in ("m0.py", "app.min.js")} == {
        "repository-duplicate"
    }
    table = store.read_table(f"{output.folder}/repositories.arrow").to_pylist()
    assert {row["repo"]: row["dropped"] for row in table} == {
        "good": "",
        "lib": "",
        "lib-fork": "repository-duplicate",
        "near": "",
    }
    (best,) = search(store, output.files("index"), code(12).replace("(7,", "(x,").encode(), 1)
    assert (best.repo, best.path) == ("lib", "m2.py")
    assert 0.9 < best.similarity < 1
    again = curate(corpus, Store(str(tmp_path / "two")))
    assert again.digest == output.digest
    assert again.counts == counts

    # A later run leaves out what this one has kept, and says so.
    write_run(store, "first", {"curate": output}, ("curate",))
    later = tmp_path / "later"
    for name, text in (
        ("new/LICENSE", "SPDX-License-Identifier: MIT\n"),
        ("new/same.py", code(12)),
        ("new/edited.py", code(14).replace("(9,", "(nine,")),
        ("new/own.py", code(50)),
    ):
        (later / name).parent.mkdir(parents=True, exist_ok=True)
        (later / name).write_text(text)
    against = [{"store": store.uri, "run": "first"}]
    added = curate(later, Store(str(tmp_path / "three")), against=against)
    assert added.counts["known_files"] == 9
    assert added.counts["funnel"]["kept"] == {"Python": 1}
    told = {
        path: read_decisions(added.store, added.folder, "new", path)[0]
        for path in ("same.py", "edited.py")
    }
    assert {path: row["rule"] for path, row in told.items()} == {
        "same.py": "exact-duplicate",
        "edited.py": "near-duplicate",
    }
    assert told["same.py"]["detail"] == "lib/m2.py of the run first"
    assert told["edited.py"]["detail"] == "lib/m4.py of the run first"
    assert 0.85 <= told["edited.py"]["similarity"] < 1


def test_an_earlier_corpus_without_an_index_is_refused(tmp_path: Path) -> None:
    config = CurateConfig.model_validate({"against": [{"store": str(tmp_path), "run": "first"}]})
    with pytest.raises(UserError, match="no run called 'first'"):
        known_state(config)
    store = Store(str(tmp_path))
    write_run(store, "first", {}, ("curate",))
    with pytest.raises(UserError, match="holds no index of signatures"):
        known_state(config)
    assert known_state(CurateConfig()) is None


@pytest.mark.ray
def test_nothing_left_is_an_error_with_a_way_out(
    corpus: Path, tmp_path: Path, ray_cluster: None
) -> None:
    with pytest.raises(UserError, match=r"no file is left after curation: language took 31 of 31"):
        curate(corpus, Store(str(tmp_path / "store")), languages=["Zig"])


def test_the_error_names_the_filters_by_what_they_took() -> None:
    funnel = {"words": {"Python": 3}, "licence": {"Python": 10, "C": 2}}
    error = nothing_left({"input_files": 15, "funnel": funnel})
    assert error.problem == (
        "no file is left after curation: licence took 12 of 15, words took 3 of 15."
    )
    assert "unknown_licence: keep" in error.fix
    assert str(find_user_error(error)) == str(error)
