"""Settings of the sampling step."""

from __future__ import annotations

from pydantic import Field, field_validator

from treespan.jobs.sample.strategies import STRATEGIES
from treespan.platform.config import Config
from treespan.platform.language import language_kind

MAX_RATE = 100.0
"""More would be a slip: the files of a language are read so often in every epoch."""


class SampleConfig(Config):
    """What becomes a document, and which repositories are kept for evaluation."""

    seed: int = 0
    """Another seed gives another order."""
    strategies: dict[str, float] = Field(
        default={"content": 0.3, "path": 0.3, "dependency": 0.3, "random": 0.1},
        validate_default=True,
    )
    """How often each strategy chooses the next files of a repository; the weights need not sum to 1.
    The default is the paper's. ``content``: files of like content. ``path``: files near each other in
    the folders. ``dependency``: files that use each other, the used before the using. ``random``: any
    files. ``topological`` and ``repository`` take all that is left, in dependency order or in that of
    the folders. Your own: ``package.module:function``."""
    max_document_bytes: int = Field(default=131_072, ge=1)
    """A document ends before the file that would take it past this size. The default is what fills
    a row of 32,768 tokens at four bytes a token."""
    max_block_files: int = Field(default=8, ge=1)
    """At most this many files from one draw of a strategy, so that the strategies mix. Ours: the
    paper does not say."""
    min_edge_weight: float = Field(default=0.5, ge=0, le=1)
    """Edges of the graph that are less sure than this are ignored. Ours: rather so than not."""
    languages: dict[str, float] = Field(default={})
    """How often the files of a language are read in an epoch, by linguist's name; 1 for languages
    that are not named. A fraction takes a share of them; above 1, files take part in further orders
    of their repository; 0 leaves them out. Held-out repositories stay as they are."""
    max_repo_bytes: int | None = Field(default=None, ge=1)
    """What an epoch reads of one repository at most; which files that is, is drawn. No bound by
    default. Held-out repositories stay as they are."""
    heldout_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the repositories that are never trained on; evaluation reads them. 0 keeps none."""

    @field_validator("strategies")
    @classmethod
    def _known_and_some(cls, strategies: dict[str, float]) -> dict[str, float]:
        for name, weight in strategies.items():
            if name not in STRATEGIES and ":" not in name:
                raise ValueError(
                    f"there is no strategy {name!r}; known are {', '.join(STRATEGIES)}, "
                    "and one of your own is written package.module:function"
                )
            if weight < 0:
                raise ValueError(f"the weight of {name!r} must not be negative")
        if sum(strategies.values()) <= 0:
            raise ValueError("at least one strategy needs a weight above 0")
        return strategies

    @field_validator("languages")
    @classmethod
    def _known_to_linguist(cls, languages: dict[str, float]) -> dict[str, float]:
        for language, rate in languages.items():
            if language_kind(language) == "unknown":
                raise ValueError(
                    f"linguist knows no language {language!r}; case counts: Rust, C++, JSON"
                )
            if not 0 <= rate <= MAX_RATE:
                raise ValueError(f"the rate of {language!r} must be from 0 to {MAX_RATE:g}")
        return languages
