"""Forks, mirrors and copies of whole repositories, by the exact contents that they share.

A repository is the set of the hashes of its files that passed the rules (so licence texts, empty
modules and vendored folders do not make two projects alike). Repositories are taken by a keep
policy, best first; one goes if at least ``threshold`` of its *own* contents are in one that stays.
A fork lies in its upstream or the upstream in the fork; of the two the better known stays. But a
large repository with a small, better known one inside it stays, and deduplication of files takes
the copies out of it: no repository goes of which much would be lost.

Not all pairs are asked. A repository of n contents that shares k of them with another shares one of
*any* n - k + 1: its rarest n - k + 1 are enough to find every partner (the prefix filter of set
joins, Chaudhuri et al. 2006), and files that everybody has are hardly ever among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_PARTNERS = 256
"""Staying repositories that one content proposes (ours), the best of them. What that leaves out is
counted; a thousand forks are no such case, for only one of them stays."""


@dataclass(frozen=True)
class Project:
    """What decides between repositories."""

    repo: str
    stars: int
    commits: int
    files: int
    contents: int
    """Distinct contents of its files, shared or not."""

    @property
    def rank(self) -> tuple[int, int, int, str]:
        """The least rank stays: more stars, more commits, more files, first name."""
        return (-self.stars, -self.commits, -self.files, self.repo)


def find_copies(
    projects: Iterable[Project],
    copies: Iterable[tuple[str, str]],
    threshold: float,
    min_files: int,
) -> tuple[dict[str, tuple[str, float]], int]:
    """Dropped repository -> (the one that stays, the share of its contents that this one has).

    ``copies`` are (hash, repository) of all contents that occur more than once, in any order.
    Repositories of fewer than ``min_files`` contents are never dropped. Also returns how many
    lookups ``MAX_PARTNERS`` left out.
    """
    ranked = sorted(projects, key=lambda project: project.rank)
    shared, holders = _shared_contents(ranked, copies)
    staying: dict[str, list[int]] = {content: [] for content in holders}
    found: dict[str, tuple[str, float]] = {}
    left_out = 0
    for place, project in enumerate(ranked):
        mine = shared[place]
        least = _least(threshold, project.contents)
        partners: set[int] = set()
        if project.contents >= min_files and len(mine) >= least:
            rarest = sorted(mine, key=lambda content: (holders[content], content))
            # Those that nobody else has are the rarest of all, and propose nothing.
            for content in rarest[: len(mine) - least + 1]:
                partners.update(staying[content][:MAX_PARTNERS])
                left_out += max(0, len(staying[content]) - MAX_PARTNERS)
        measured = [(-len(mine & shared[other]), other) for other in partners]
        common, other = min(measured, default=(0, -1))
        if measured and -common >= least:
            found[project.repo] = (ranked[other].repo, -common / project.contents)
        else:
            for content in mine:
                staying[content].append(place)
    return found, left_out


def _shared_contents(
    ranked: Sequence[Project], copies: Iterable[tuple[str, str]]
) -> tuple[list[set[str]], dict[str, int]]:
    """For each repository its contents that another has too; how many have each of these."""
    place_of = {project.repo: place for place, project in enumerate(ranked)}
    places: dict[str, set[int]] = {}
    for content, repo in copies:
        places.setdefault(content, set()).add(place_of[repo])
    shared: list[set[str]] = [set() for _ in ranked]
    holders = {content: len(having) for content, having in places.items() if len(having) > 1}
    for content in holders:
        for place in places[content]:
            shared[place].add(content)
    return shared, holders


def _least(threshold: float, contents: int) -> int:
    """The least number of common contents that reaches the threshold (1e-9: rounding)."""
    return max(1, math.ceil(threshold * contents - 1e-9))
