"""The score of a repository from its stars, commits and test files, and who is below the cut.

The paper ranks projects by these three signals and drops the lowest tenth, but gives no formula;
this one is ours. Each signal becomes a percentile rank: the share of the ranked repositories that
have less of it, ties counted half. Ranks need no scale (stars span six powers of ten, test files
two; any logarithm would give the same ranks) and no outlier moves them. The score is their weighted
mean over the signals that are *known*: an unknown one (-1) neither helps nor harms.

The cut is meant to stay mild. SantaCoder (arXiv 2301.03988) found that keeping only repositories
of five stars and more made the model worse.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from treespan.jobs.curate.config import RankingConfig, RankingWeights

SIGNALS = tuple(RankingWeights.model_fields)
"""Names of all signals, as they are columns of the tables."""

HISTORY = ("stars", "commits")
"""A repository is ranked if one of these is known. Test files alone do not rank: installed
packages and bare folders often come without their tests, and nearly all would tie at none."""


@dataclass(frozen=True)
class Signals:
    """What is known of a repository: values by the name of the signal, -1 where unknown."""

    repo: str
    values: Mapping[str, int]


@dataclass(frozen=True)
class Ranking:
    """Scores in [0, 1] of the repositories that were ranked, and those below the cut."""

    scores: Mapping[str, float]
    dropped: frozenset[str]
    cut: float | None
    """The least score that stays; None where nothing is dropped."""


def rank_repositories(repositories: Iterable[Signals], config: RankingConfig) -> Ranking:
    """Score the repositories with a history and drop the lowest ``drop_share``, rounded down.

    Of equal scores, those with the later names go: a choice without merit, but the same each time.
    """
    known = [r for r in repositories if any(r.values[name] >= 0 for name in HISTORY)]
    if not config.enabled or len(known) < config.min_repositories:
        return Ranking({}, frozenset(), None)
    found = scores(known, config.weights.to_dict())
    best_first = sorted(found, key=lambda repo: (-found[repo], repo))
    # 1e-9: a tenth of 30 is three, whatever the float says.
    stay = len(best_first) - int(config.drop_share * len(best_first) + 1e-9)
    dropped = frozenset(best_first[stay:])
    return Ranking(found, dropped, found[best_first[stay - 1]] if dropped and stay else None)


def scores(repositories: Iterable[Signals], weights: Mapping[str, float]) -> dict[str, float]:
    """The score of each repository by its name; 0.5 for one of which nothing counts."""
    rows = list(repositories)
    weights = {name: weight for name, weight in weights.items() if weight}
    ordered = {
        name: sorted(row.values[name] for row in rows if row.values[name] >= 0) for name in weights
    }
    found: dict[str, float] = {}
    for row in rows:
        total = weight = 0.0
        for name in weights:
            if row.values[name] >= 0:
                total += weights[name] * percentile(ordered[name], row.values[name])
                weight += weights[name]
        found[row.repo] = total / weight if weight else 0.5
    return found


def percentile(ordered: list[int], value: int) -> float:
    """The share of the sorted values that are less than ``value``; equal ones count half."""
    return (bisect_left(ordered, value) + bisect_right(ordered, value)) / (2 * len(ordered))
