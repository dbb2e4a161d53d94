"""What show and the report say of packing: all that was counted, and nothing of what was not."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from tests.jobs.packed_corpus import COUNTS, NEW_COUNTS

from treespan.jobs.report.objectives import pack_sections
from treespan.platform.pack_tables import pack_tables
from treespan.platform.run_record import read_run
from treespan.platform.sample_tables import sample_tables
from treespan.platform.steps import Output
from treespan.platform.summary import as_json

ALL = COUNTS | NEW_COUNTS


def printed(tables: Any, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        for table in tables:
            console.print(table)
    return capture.get()


def test_show_of_all_counts() -> None:
    text = printed(pack_tables(ALL))
    assert max(len(line) for line in text.splitlines()) <= 80
    for said in (
        r"sfim +│ +20 │ 66.7% │ +1,800 │ 75.0%",
        r"2\.50 bytes per token, 6\.25% padding in 5 rows",
        r"97\.5% of the tokens are",
        r"1,200\s+further\s+rows\s+of\s+held-out\s+repositories",
        r"call +│ +12 │ 60\.0% │ +59\.4% │ █+",
        r"method-body +│ +3 │ 75\.0%",
        r"uniform +│ +│ +7 │ +█",
        r"99 % or more +│ +3 │",
        r"0 to 50 % +│ +1 │",
        r"Python +│ +2\.60 │ +2,000",
        r"no-grammar +│ +2 │ 6\.67%",
    ):
        assert re.search(said, text), said


def test_show_of_an_earlier_version() -> None:
    text = printed(pack_tables(COUNTS))
    assert text.count("pack: ") == 2
    assert "targets" not in text
    assert "held-out" not in text


def test_many_nodes_are_cut_to_the_most_frequent() -> None:
    nodes = {f"node_{n:02d}": 40 - n for n in range(30)}
    text = printed(pack_tables({**COUNTS, "segments_by_node": nodes}))
    assert "node_14" in text
    assert "node_15" not in text
    assert "15 others" in text


def test_show_of_sampling() -> None:
    files = {"content": 6, "random": 2}
    statistics = {
        "similarity": {"content": 0.5, "random": 0.1},
        "similarity_all": 0.4,
        "similarity_random": 0.1,
        "path_similarity": {"content": 0.25},
        "path_similarity_random": None,
        "dependencies": {"edges": 10, "within": 6, "callee_first": 5},
        "dependencies_random": {"edges": 10, "within": 2, "callee_first": 1},
    }
    text = printed(sample_tables({"files_by_strategy": files, "statistics": statistics}))
    for said in (
        r"content +│ +6 │ +0\.500 │ +0\.250",
        r"random +│ +2 │ +0\.100 │ +│",
        r"all +│ +8 │ +0\.400",
        r"in random order +│ +8 │ +0\.100",
        r"ours +│ +10 │ +60\.0% │ +50\.0%",
    ):
        assert re.search(said, text), said
    assert printed(sample_tables({"files_by_strategy": files})) == ""


def with_counts(pack: Output, counts: Mapping[str, Any]) -> Output:
    return replace(pack, manifest={**pack.manifest, "counts": counts})


@pytest.mark.parametrize("counts", [COUNTS, ALL])
def test_the_report(packed: Output, counts: dict[str, Any]) -> None:
    html = "".join(pack_sections(with_counts(packed, counts)))
    assert html == "".join(pack_sections(with_counts(packed, counts)))
    said = (
        "bytes of the middle",
        "method-body",
        "no-grammar",
        "drawn uniformly",
        "no padding",
        "held-out",
    )
    assert all((text in html) == (counts is ALL) for text in said)
    assert "call" in html
    # Examples are drawn with their holes, and what they hold is escaped.
    assert html.count('<div class="row">') == 3
    assert html.count('<span class="middle"') == 3
    assert "<script" not in html


def test_json_passes_the_counts_on(packed: Output) -> None:
    assert as_json(read_run(packed.store))["steps"]["pack"]["output"] == COUNTS
