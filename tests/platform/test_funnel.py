"""The account of the filters: counted once per step, joined over steps, for tables and plots."""

import io
from typing import Any

from rich.console import Console

from treespan.platform.funnel import fates, shares, shown_languages, stages, whole_account
from treespan.platform.ledger import account_of, decide, merge_accounts
from treespan.platform.run_record import Run
from treespan.platform.steps import Output
from treespan.platform.store import Store
from treespan.platform.tables import run_tables
from treespan.platform.wording import in_words, measured_in_words


def decision(rule: str, language: str, size: int, action: str = "drop", **more: Any) -> Any:
    file = {"file_id": "0", "repo": "r", "path": "p", "language": language, "size": size}
    return decide(file, step="s", rule=rule, action=action, **more)  # type: ignore[arg-type]


INGEST = {
    "files": 9,
    "bytes": 900,
    "repositories": 2,
    **account_of([decision("binary", "", 70), decision("encoding", "", 0, "edit")]),
}
CURATE = {
    "input_files": 9,
    "output_files": 6,
    "output_bytes": 600,
    **merge_accounts(
        [
            account_of([decision("licence", "C", 100)], [("C", 50), ("Go", 150)]),
            account_of(
                [decision("words", "Go", 9), decision("licence", "Go", 191)],
                [("Go", 100)] * 4,
            ),
        ],
        ("licence", "words"),
    ),
}


def steps(**counts: dict[str, Any]) -> dict[str, Output]:
    common = {"seconds": 1.0, "measures": {}, "digest": "0" * 64}
    return {
        name: Output(Store("nowhere"), f"steps/{name}", {**common, "counts": found})
        for name, found in counts.items()
    }


def test_an_account_counts_files_bytes_and_edits() -> None:
    assert CURATE["funnel"] == {
        "licence": {"C": 1, "Go": 1},
        "words": {"Go": 1},
        "kept": {"C": 1, "Go": 5},
    }
    assert CURATE["funnel_bytes"]["kept"] == {"C": 50, "Go": 550}
    assert INGEST["edits"] == {"encoding": {"": 1}}
    assert list(CURATE["funnel"]) == ["licence", "words", "kept"]


def test_stages_run_over_all_steps() -> None:
    found = stages(steps(ingest=INGEST, curate=CURATE))
    assert [(s.step, s.rule, s.files, s.bytes, s.files_left) for s in found] == [
        ("ingest", "binary", 1, 70, 9),
        ("curate", "licence", 2, 291, 7),
        ("curate", "words", 1, 9, 6),
        ("", "kept", 6, 600, 6),
    ]


def test_ingest_alone_keeps_what_it_read() -> None:
    found = stages(steps(ingest=INGEST))
    assert [(s.rule, s.files, s.bytes) for s in found] == [("binary", 1, 70), ("kept", 9, 900)]


def test_only_the_last_filter_keeps() -> None:
    after = account_of([decision("benchmark-ngram", "Go", 100)], [("C", 50), ("Go", 450)])
    account = whole_account(steps(ingest=INGEST, curate=CURATE, decontaminate=dict(after)))
    assert account["funnel"]["kept"] == {"C": 1, "Go": 1}
    assert list(account["funnel"]) == ["binary", "licence", "words", "benchmark-ngram", "kept"]


def test_fates_and_shares_by_language() -> None:
    account = whole_account(steps(ingest=INGEST, curate=CURATE))
    go, c, unknown = fates(account)
    assert (go.language, go.files, go.kept, go.kept_bytes, go.most) == ("Go", 7, 5, 550, "licence")
    assert (c.most, c.most_files) == ("licence", 1)
    assert (unknown.language, unknown.kept, unknown.most) == ("", 0, "binary")
    languages = shown_languages(account["funnel"], 2)
    assert languages == ["Go", "C"]
    columns = zip(*shares(account["funnel"], languages), strict=True)
    assert [round(sum(column), 9) for column in columns] == [1, 1]


def test_a_run_of_an_older_version_is_still_shown() -> None:
    bare = {"ingest": {"files": 9, "bytes": 1, "repositories": 1, "funnel": {}}}
    assert stages(steps(**bare, curate={"funnel": {"kept": {"Go": 9}}}))[-1].files == 9


def test_the_tables_fit_a_terminal() -> None:
    run = Run("r", "", steps(ingest=INGEST, curate=CURATE), ())
    console = Console(width=80, record=True, file=io.StringIO())
    for table in run_tables(run, 80):
        console.print(table)
    said = console.export_text()
    for text in ("files by step and rule", "files by language", "by rule and language", "edited"):
        assert text in said
    assert max(map(len, said.splitlines())) <= 80


def test_decisions_in_words() -> None:
    assert measured_in_words(decision("words", "Go", 9, value=3.0, threshold=5.0)) == (
        "words, 3 against 5"
    )
    assert measured_in_words(decision("vendored", "Go", 9)) == ""
    assert in_words(decision("encoding", "", 9, "edit", detail="latin-1")) == (
        "edit by rule encoding: (latin-1)"
    )
    near = decision("near-duplicate", "Go", 9, value=0.9, threshold=0.85, similarity=0.9)
    assert in_words(near, "a/b.go").endswith("0.9 against 0.85; kept instead: a/b.go")
