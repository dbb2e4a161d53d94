"""Settings of the sampling step."""

from __future__ import annotations

from pydantic import Field, model_validator

from treespan.platform.config import Config


class StrategyWeights(Config):
    """How often each strategy chooses the next files of a repository. The paper's 30/30/30/10."""

    content: float = Field(default=0.3, ge=0)
    """Files of one cluster of similar content."""
    path: float = Field(default=0.3, ge=0)
    """Files near each other in the folder tree."""
    dependency: float = Field(default=0.3, ge=0)
    """Files that import each other, the imported before the importing."""
    random: float = Field(default=0.1, ge=0)
    """Any file: real projects are incomplete, and what is related may not exist yet."""

    @model_validator(mode="after")
    def _some_weight(self) -> StrategyWeights:
        if self.content + self.path + self.dependency + self.random <= 0:
            raise ValueError("at least one strategy needs a weight above 0")
        return self


class SampleConfig(Config):
    """What becomes a document, and which repositories are kept for evaluation."""

    seed: int = 0
    """Another seed gives another order."""
    strategies: StrategyWeights = StrategyWeights()
    """Weights of the strategies; they need not sum to 1."""
    max_document_bytes: int = Field(default=131_072, ge=1)
    """A document ends before the file that would take it past this size. The default is what fills
    a row of 32,768 tokens at four bytes a token."""
    max_block_files: int = Field(default=8, ge=1)
    """At most this many files from one draw of a strategy, so that the strategies mix. Ours: the
    paper does not say."""
    heldout_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the repositories that are never trained on; evaluation reads them. 0 keeps none."""
