"""Exact duplicates, and the policy on which of several files stays."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Key:
    """What decides between files; a row of the ``KEYS`` table."""

    ref: int
    file_id: str
    repo: str
    path: str
    sha256: str
    size: int
    stars: int
    test_files: int
    licence_known: bool

    @property
    def rank(self) -> tuple[bool, int, int, int, str, str]:
        """The least rank stays: known licence, more stars, more tests, longer file, first name.

        A file's provenance comes before the file: what is kept should be the original, in the
        repository that people use and test. The name only makes the choice independent of order.
        """
        return (
            not self.licence_known,
            -self.stars,
            -self.test_files,
            -self.size,
            self.repo,
            self.path,
        )


def exact_links(contents: NDArray[np.uint64], refs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Pairs (least ref, other ref) of rows with equal content: uint64 [pairs, 2]."""
    order = np.lexsort((refs, contents))
    contents, refs = contents[order], refs[order]
    if len(refs) == 0:
        return np.empty((0, 2), dtype=np.uint64)
    first = np.concatenate(([True], contents[1:] != contents[:-1]))
    least = refs[np.flatnonzero(first)[np.cumsum(first) - 1]]
    return np.stack([least[~first], refs[~first]], axis=1)


def choose_exact(
    links: Iterable[tuple[int, int]], keys: Mapping[int, Key], gone: Container[str] = ()
) -> tuple[dict[int, int], dict[int, int]]:
    """Decide among files of equal bytes.

    Returns what is dropped (ref -> the ref that stays), and for each least ref of a group, by which
    near-duplicate detection knows the group, the ref that stays. Links come from 64 bits of the
    hash; here the whole hash decides. Files of the repositories ``gone`` take no part; a group of
    nothing else has no winner.
    """
    groups: dict[str, set[int]] = {}
    for a, b in links:
        groups.setdefault(keys[a].sha256, set()).add(a)
        groups.setdefault(keys[b].sha256, set()).add(b)
    dropped: dict[int, int] = {}
    winners: dict[int, int] = {}
    for group in groups.values():
        alive = [ref for ref in group if keys[ref].repo not in gone]
        if alive:
            stays = min(alive, key=lambda ref: keys[ref].rank)
            winners[min(group)] = stays
            dropped.update((ref, stays) for ref in alive if ref != stays)
    return dropped, winners
