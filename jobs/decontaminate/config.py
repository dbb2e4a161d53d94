"""Settings of decontamination: where the benchmarks are, and what counts as a hit."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from treespan.platform.config import Config


class BenchmarkSource(Config):
    """A benchmark, or a folder of benchmarks, as JSON lines."""

    path: str = Field(min_length=1)
    """A ``.jsonl`` or ``.jsonl.gz`` file, or a folder that is searched for them; ``~`` is
    expanded. The driver reads it; workers only see hashes."""
    name: str | None = Field(default=None, min_length=1)
    """Name in the ledger; for a known set its own name, else that of the file."""
    fields: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Fields whose texts count, each by itself (``a.b`` is b inside a); not needed for known
    sets."""


class DecontaminateConfig(Config):
    """Settings of the decontaminate step; without benchmarks there is no such step."""

    benchmarks: tuple[BenchmarkSource, ...] = ()
    """What to look for."""
    policy: Literal["drop", "report"] = "drop"
    """Whether a file that was hit goes, or stays with a row in the ledger."""
    ngram: int = Field(default=10, ge=3, le=64)
    """Words of a benchmark in a row that make a hit (DeepSeek-Coder, Qwen2.5-Coder)."""
    min_words: int = Field(default=8, ge=3)
    """A text of fewer than ``ngram`` words is looked for as a whole, if it has so many (DeepSeek
    takes 3 with punctuation; 3 words without it are found everywhere)."""
    min_names: int = Field(default=4, ge=0)
    """Distinct words of two characters or more, numbers left out, in a run that counts: lists of
    numbers, the alphabet and ``for i in range(n)`` twice prove nothing (ours)."""
    max_problems: int = Field(default=5, ge=1)
    """A run in more problems of one benchmark than this is its boilerplate: imports, the frame
    of its tests (ours)."""
    common_share: float = Field(default=0.01, gt=0.0, le=1.0)
    """A run in more than this share of the corpus's repositories is common text such as a licence
    header, no leak (ours)."""
    common_repositories: int = Field(default=20, ge=1)
    """But only if these are more than so many repositories: a small corpus has no statistics."""
    near_containment: float | None = Field(default=0.7, gt=0.0, le=1.0)
    """Least share of an item's word 5-grams that a file holds, in any order, to be a near match;
    null switches the rule off."""
    near_min_shingles: int = Field(default=20, ge=1)
    """Items of fewer 5-grams are too small to be measured so."""

    @model_validator(mode="after")
    def _short_is_shorter(self) -> Self:
        if self.min_words > self.ngram:
            raise ValueError("min_words must be at most ngram")
        return self
