"""Settings of curation: every threshold, with where it comes from."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from treespan.jobs.curate.licences import PERMISSIVE, check_names
from treespan.jobs.curate.signature import PERMUTATIONS
from treespan.platform.config import Config
from treespan.platform.uri import PathOrUri

Kind = Literal["programming", "markup", "data", "prose"]


class RulesConfig(Config):
    """Limits on single files; a limit of null switches its rule off."""

    min_words: int | None = 5
    """Fewer words and there is nothing to learn, nor to compare (BigCode: 5 tokens)."""
    max_bytes: int | None = 1_000_000
    """Larger files are tables and bundles (The Stack's limit)."""
    max_line_length: int | None = 1000
    """Characters of the longest line (BigCode)."""
    max_mean_line_length: float | None = 100.0
    """Characters per line, on average (BigCode)."""
    min_alphanumeric: float | None = 0.25
    """Least share of letters and digits among the characters (BigCode)."""
    generated: bool = True
    """Drop what linguist or a marker in the first lines calls generated."""
    minified: bool = True
    """Drop ``*.min.js``, ``*-min.css`` and the like."""
    vendored: bool = True
    """Drop what linguist calls vendored by its path. Not applied to installed distributions, whose
    paths are not those of a repository; copies among them are found as duplicates."""


class NearDedupConfig(Config):
    """Near duplicates: candidates by MinHash bands, verified by exact Jaccard similarity."""

    enabled: bool = True
    """Drop near duplicates at all."""
    threshold: float = Field(default=0.85, gt=0.0, le=1.0)
    """Least Jaccard similarity of word 5-gram sets at which one of two files goes (design; BigCode
    has 0.7)."""
    bands: int = Field(default=25, ge=1)
    """Bands of the signature. 25 x 10 finds 99.6 % of the pairs at 0.85 and nearly all above."""
    rows: int = Field(default=10, ge=1)
    """Signature values in a band."""

    @model_validator(mode="after")
    def _bands_fit(self) -> Self:
        if self.bands * self.rows > PERMUTATIONS:
            raise ValueError(f"bands * rows must be at most {PERMUTATIONS}, the signature's length")
        return self


class RepositoryDedupConfig(Config):
    """Forks, mirrors and copies of whole repositories."""

    enabled: bool = True
    """Drop them at all."""
    threshold: float = Field(default=0.8, gt=0.0, le=1.0)
    """Least share of a repository's distinct file contents that another one has, byte for byte, at
    which it goes (ours: a fork that changed a fifth of its files is still mostly its upstream)."""
    min_files: int = Field(default=5, ge=1)
    """Repositories of fewer distinct contents are left to the deduplication of files: a file or two
    in common do not make two projects one (ours)."""


class RankingWeights(Config):
    """How much each signal counts in the score of a repository."""

    stars: float = Field(default=1.0, ge=0.0)
    """Weight of the stars."""
    commits: float = Field(default=1.0, ge=0.0)
    """Weight of the number of commits."""
    test_files: float = Field(default=1.0, ge=0.0)
    """Weight of the number of test files."""
    authors: float = Field(default=0.0, ge=0.0)
    """Weight of the number of people who wrote the commits; the paper does not rank by it."""


class RankingConfig(Config):
    """The ranking of repositories by stars, commits and test files (the paper)."""

    enabled: bool = True
    """Drop the lowest at all."""
    drop_share: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the ranked repositories that goes, the number rounded down (the paper)."""
    min_repositories: int = Field(default=20, ge=1)
    """With fewer whose stars or commits are known nothing is ranked: the last of a handful says
    little about its worth (ours)."""
    weights: RankingWeights = RankingWeights()
    """How much each signal counts."""


class SyntaxConfig(Config):
    """The syntax check, in a process that can be killed."""

    enabled: bool = True
    """Drop files that do not parse. Languages without a grammar always pass."""
    max_error_ratio: float = Field(default=0.0, ge=0.0, le=1.0)
    """Largest share of bytes inside errors; 0 means that any error drops the file (the paper)."""
    max_error_ratio_of: dict[str, float] = Field(
        default={"C": 0.01, "C++": 0.01, "Cuda": 0.01, "Objective-C": 0.01}
    )
    """By language, in place of ``max_error_ratio``. Macros are not C before they are expanded, so
    a correct file shows some errors (ours)."""
    max_bytes: int = Field(default=1_000_000, ge=1)
    """Larger files pass unparsed."""
    timeout_s: float = Field(default=10.0, gt=0.0)
    """Processor seconds for one file; then the parser is killed and the file dropped. Ordinary
    files take milliseconds, so this decides on hostile ones only."""


class KnownCorpus(Config):
    """An earlier run, of which new files must not be duplicates."""

    store: PathOrUri
    """Folder or URI of its store."""
    run: str = Field(min_length=1)
    """Name of its recipe; it must have written its index (``curate.index``)."""


class CurateConfig(Config):
    """Settings of the curate step."""

    languages: tuple[str, ...] | None = None
    """Linguist names of the languages to keep; if not given, ``kinds`` decides."""
    kinds: tuple[Kind, ...] = ("programming",)
    """Linguist's kinds of languages to keep."""
    licences: tuple[str, ...] = PERMISSIVE
    """SPDX names that allow training; globs too, as ``BSD-*``."""
    add_licences: tuple[str, ...] = ()
    """More of them, so that a recipe need not repeat the list."""
    deny_licences: tuple[str, ...] = ()
    """SPDX names or globs, as ``GPL-*``, that forbid it, whatever the other lists say."""
    unknown_licence: Literal["drop", "keep"] = "drop"
    """What becomes of files whose licence is not known."""
    rules: RulesConfig = RulesConfig()
    """Limits on single files."""
    repository_dedup: RepositoryDedupConfig = RepositoryDedupConfig()
    """Keep one of repositories that are copies of each other."""
    ranking: RankingConfig = RankingConfig()
    """Drop the repositories that are worth least."""
    exact_dedup: bool = True
    """Keep one of files with equal bytes."""
    near_dedup: NearDedupConfig = NearDedupConfig()
    """Keep one of files that are nearly equal."""
    against: tuple[KnownCorpus, ...] = ()
    """Earlier corpora: exact and near duplicates of what they kept are dropped here."""
    syntax: SyntaxConfig = SyntaxConfig()
    """Drop files that do not parse."""
    index: bool = True
    """Write the signatures of the files that stay, some 1.1 kB each, for ``treespan similar``."""

    @field_validator("licences", "add_licences", "deny_licences")
    @classmethod
    def _licences_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        check_names(names)
        return names

    @model_validator(mode="after")
    def _near_needs_exact(self) -> Self:
        if self.near_dedup.enabled and not self.exact_dedup:
            raise ValueError("near_dedup needs exact_dedup: set near_dedup.enabled to false too")
        if self.against and not self.exact_dedup:
            raise ValueError("against needs exact_dedup: set it to true, or take 'against' out")
        return self
