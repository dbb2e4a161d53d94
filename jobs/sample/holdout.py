"""Which repositories are kept for evaluation: decided before sampling, by a hash of their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from treespan.platform.draws import uniform
from treespan.platform.errors import UserError


@dataclass(frozen=True)
class Holdout:
    """A rule that any worker can apply to a repository's name alone.

    A repository is held out if its draw is below ``share``, or if it is ``always``: the one with
    the smallest draw, so that even a small corpus holds out one.
    """

    seed: int
    share: float
    always: str | None = None

    def draw(self, repo: str) -> float:
        """The repository's number in [0, 1)."""
        return uniform(self.seed, "heldout", repo)

    def holds(self, repo: str) -> bool:
        """Whether ``repo`` is kept for evaluation."""
        return self.share > 0 and (repo == self.always or self.draw(repo) < self.share)


def choose_holdout(seed: int, share: float, repos: Iterable[str]) -> Holdout:
    """The rule for a corpus of ``repos``. Raises ``UserError`` if nothing would be left to train."""
    rule = Holdout(seed, share)
    if share == 0:
        return rule
    names = sorted(set(repos), key=lambda repo: (rule.draw(repo), repo))
    if len(names) < 2:
        raise UserError(
            f"the corpus has {len(names)} repository, so none can be held out for evaluation.",
            "Add a source, or set sample.heldout_share to 0 to train without evaluation.",
        )
    rule = Holdout(seed, share, always=names[0])
    if all(rule.holds(repo) for repo in names):
        raise UserError(
            f"sample.heldout_share {share:g} holds out all {len(names)} repositories.",
            "Lower it.",
        )
    return rule
