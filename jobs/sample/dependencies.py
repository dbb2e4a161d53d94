"""Files in dependency order: what a file uses stands before it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

Uses = Sequence[Collection[int]]
"""For each file, the files that it uses."""


def used_first(uses: Uses, chosen: Iterable[int]) -> list[int]:
    """``chosen`` ordered so that what a file uses stands before it, where there is a choice by index.

    Files that use each other in a circle stand together; within a circle the file with the fewest
    uses still to come goes first (DeepSeek-Coder's rule), then the smallest index.
    """
    inside = _inside(uses, chosen)
    circle_of = _components(inside, "strong")
    members: dict[int, list[int]] = {}
    needs: dict[int, set[int]] = {}
    for index, targets in inside.items():
        circle = circle_of[index]
        members.setdefault(circle, []).append(index)
        needs.setdefault(circle, set()).update(circle_of[target] for target in targets)
    ordered: list[int] = []
    for circle in _fewest_open_first({c: needed - {c} for c, needed in needs.items()}):
        in_circle = set(members[circle])
        ordered += _fewest_open_first({index: inside[index] & in_circle for index in in_circle})
    return ordered


def components(uses: Uses, chosen: Iterable[int]) -> list[list[int]]:
    """``chosen`` in groups between which there is no edge; groups and files by index."""
    inside = _inside(uses, chosen)
    found: dict[int, list[int]] = {}
    for index, component in _components(inside, "weak").items():
        found.setdefault(component, []).append(index)
    return list(found.values())


def _inside(uses: Uses, chosen: Iterable[int]) -> dict[int, set[int]]:
    among = set(chosen)
    return {index: among.intersection(uses[index]) for index in sorted(among)}


def _fewest_open_first(needs: Mapping[int, set[int]]) -> list[int]:
    """All keys; always the one with the fewest needs still to come, then the smallest."""
    needed_by: dict[int, list[int]] = {}
    for key, needed in needs.items():
        for other in needed:
            needed_by.setdefault(other, []).append(key)
    still_open = {key: len(needed) for key, needed in needs.items()}
    heap = [(count, key) for key, count in still_open.items()]
    heapify(heap)
    ordered: list[int] = []
    while heap:
        count, key = heappop(heap)
        if still_open.get(key) != count:
            continue  # placed already, or pushed again with fewer
        del still_open[key]
        ordered.append(key)
        for other in needed_by.get(key, ()):
            if other in still_open:
                still_open[other] -= 1
                heappush(heap, (still_open[other], other))
    return ordered


def _components(
    inside: Mapping[int, set[int]], connection: Literal["strong", "weak"]
) -> dict[int, int]:
    """The component of each file, named by its smallest file."""
    place = {index: at for at, index in enumerate(inside)}
    pairs = [(at, place[target]) for index, at in place.items() for target in inside[index]]
    sources, targets = zip(*pairs, strict=True) if pairs else ((), ())
    shape = (len(inside), len(inside))
    edges = csr_array((np.ones(len(pairs), np.int8), (sources, targets)), shape=shape)
    _, labels = connected_components(edges, directed=True, connection=connection)
    smallest: dict[int, int] = {}
    return {index: smallest.setdefault(int(labels[at]), index) for index, at in place.items()}
