"""What curation knows of whole repositories, and which of them go: copies first, then the worst.

A repository's numbers are a row of a small table, so these decisions are made on the driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.ranking import SIGNALS, Signals, rank_repositories
from treespan.jobs.curate.repository_dedup import Project, find_copies
from treespan.jobs.curate.scratch import GONE, SURVEY
from treespan.platform.partitions import Receipt
from treespan.platform.schemas import REPOSITORIES, batches, part_name
from treespan.platform.store import Store

GATES = frozenset({"language", "licence"})
"""The rules that come before those on repositories; files that they drop keep that verdict."""


@dataclass(frozen=True)
class Surveyed:
    """A row of the ``SURVEY`` table: a repository of which files passed the gates."""

    repo: str
    stars: int
    commits: int
    authors: int
    test_files: int
    files: int
    bytes: int
    contents: int


@dataclass(frozen=True)
class Gone:
    """Why a repository is dropped; a row of the ``GONE`` table."""

    repo: str
    rule: str
    value: float
    threshold: float
    detail: str = ""
    similarity: float | None = None


@dataclass(frozen=True)
class Verdicts:
    """The decisions on all repositories."""

    gone: Mapping[str, Gone]
    scores: Mapping[str, float]
    counts: Mapping[str, Any]


def judge_repositories(
    surveyed: Iterable[Surveyed], copies: Iterable[tuple[str, str]], config: CurateConfig
) -> Verdicts:
    """Decide on repositories, given (hash, repository) of all contents that occur more than once.

    Copies go first, so that a project counts once among those that are ranked.
    """
    rows = sorted(surveyed, key=lambda row: row.repo)
    gone: dict[str, Gone] = {}
    dedup = config.repository_dedup
    left_out = 0
    if dedup.enabled:
        projects = [Project(r.repo, r.stars, r.commits, r.files, r.contents) for r in rows]
        found, left_out = find_copies(projects, copies, dedup.threshold, dedup.min_files)
        for repo, (kept, contained) in found.items():
            gone[repo] = Gone(
                repo, "repository-duplicate", contained, dedup.threshold, kept, contained
            )
    signals = [
        Signals(r.repo, {name: getattr(r, name) for name in SIGNALS})
        for r in rows
        if r.repo not in gone
    ]
    ranking = rank_repositories(signals, config.ranking)
    counts = {
        "repositories": len(rows),
        "duplicates": len(gone),
        "lookups_left_out": left_out,
        "ranked": len(ranking.scores),
        "ranked_out": len(ranking.dropped),
        "cut_score": ranking.cut,
    }
    for repo in ranking.dropped:
        score, cut = ranking.scores[repo], ranking.cut
        gone[repo] = Gone(repo, "ranking", score, 0.0 if cut is None else cut)
    return Verdicts(gone, ranking.scores, counts)


def decide_repositories(
    store: Store,
    folder: str,
    work: str,
    partitions: int,
    copies: Iterable[tuple[str, str]],
    config: CurateConfig,
) -> tuple[Verdicts, Receipt]:
    """Judge all that was surveyed; write ``repositories.arrow`` and, by partition, who is gone."""
    by_partition = [read_survey(store, work, partition) for partition in range(partitions)]
    everything = [row for rows in by_partition for row in rows]
    verdicts = judge_repositories(everything, copies, config)
    for partition, rows in enumerate(by_partition):
        some = [asdict(verdicts.gone[row.repo]) for row in rows if row.repo in verdicts.gone]
        store.write_table(f"{work}/gone/{part_name(partition)}", GONE, batches(GONE, some))
    told = [_told(row, verdicts) for row in sorted(everything, key=lambda row: row.repo)]
    entry = store.write_table(
        f"{folder}/repositories.arrow", REPOSITORIES, batches(REPOSITORIES, told)
    )
    return verdicts, Receipt([entry], verdicts.counts)


def read_survey(store: Store, work: str, partition: int) -> list[Surveyed]:
    """The repositories of a partition, in the order of their names."""
    rows = store.read_table(f"{work}/survey/{part_name(partition)}", SURVEY.names).to_pylist()
    return [Surveyed(**row) for row in rows]


def read_gone(store: Store, work: str, partition: int) -> dict[str, Gone]:
    """The dropped repositories of a partition by name."""
    rows = store.read_table(f"{work}/gone/{part_name(partition)}").to_pylist()
    return {row["repo"]: Gone(**row) for row in rows}


class Survey:
    """Adds up the files of the repositories of one partition."""

    def __init__(self) -> None:
        self._first: dict[str, Mapping[str, Any]] = {}
        self._files: dict[str, int] = {}
        self._bytes: dict[str, int] = {}

    def add(self, file: Mapping[str, Any]) -> None:
        """Take in a file that passed the gates."""
        repo = file["repo"]
        self._first.setdefault(repo, file)
        self._files[repo] = self._files.get(repo, 0) + 1
        self._bytes[repo] = self._bytes.get(repo, 0) + file["size"]

    def rows(self, keys: pa.Table) -> list[dict[str, Any]]:
        """Rows of ``SURVEY``; ``keys`` are the files that passed the rules as well."""
        counted = keys.group_by("repo").aggregate([("sha256", "count_distinct")])
        contents = dict(
            zip(
                counted["repo"].to_pylist(),
                counted["sha256_count_distinct"].to_pylist(),
                strict=True,
            )
        )
        return [
            {
                **{name: self._first[repo][name] for name in SIGNALS},
                "repo": repo,
                "files": self._files[repo],
                "bytes": self._bytes[repo],
                "contents": contents.get(repo, 0),
            }
            for repo in sorted(self._first)
        ]


def _told(row: Surveyed, verdicts: Verdicts) -> dict[str, Any]:
    gone = verdicts.gone.get(row.repo)
    return {
        **asdict(row),
        "score": verdicts.scores.get(row.repo),
        "dropped": "" if gone is None else gone.rule,
        "matched_repo": "" if gone is None else gone.detail,
        "similarity": None if gone is None else gone.similarity,
    }
