"""Where each file of a drawing stands: what others build on to the left, what builds on it to the
right, in columns whose rows are labels, so that no two labels can meet. Pure functions.
"""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from treespan.jobs.graph.show.overview import FileFacts, Overview, Tie

MAX_FILES = 100
"""More labels than these do not fit a screen (ours)."""

MAX_TIES = 400
"""More lines than these hide each other (ours)."""

_MAX_GROUPS = 9
"""As many colours as one can tell apart; the folders beyond share grey."""

_MAX_COLUMNS = 6
"""More columns than these do not fit a screen (ours)."""

_SWEEPS = 12
"""Further sweeps over the columns change hardly anything (ours)."""

TOP = "top folder"
"""The group of files that lie in no folder."""

OTHERS = "other folders"


@dataclass(frozen=True)
class Place:
    """A file in the drawing."""

    file: FileFacts
    label: str
    """As few of the path's last parts as tell it from the others."""
    group: int
    """Index into ``Layout.groups``."""
    column: int
    """From the left."""
    row: int
    """From the top."""


@dataclass(frozen=True)
class Layout:
    """All that is drawn."""

    places: Sequence[Place]
    ties: Sequence[tuple[int, int, Tie]]
    """Source and target as indices into ``places``; the strongest last, to lie on top."""
    groups: Sequence[str]
    """Folders, the largest first."""
    columns: int
    rows: int
    files: int
    """Files of the repository."""
    tied_files: int
    """Those with a tie; the ones beyond ``places`` are left out."""
    tied: int
    """Ties between the files drawn; those beyond ``ties`` are left out."""


def lay_out(seen: Overview, max_files: int = MAX_FILES) -> Layout:
    """The drawing of the ``max_files`` files with the most ties.

    The column follows from the trophic level: the h that minimises the sum over ties of
    w (h[source] - h[target] - 1)^2 (MacKay, Johnson and Sansom 2020, doi:10.1098/rsos.201138).
    Circles need no breaking, and a file that all layers use does not stretch the drawing.
    """
    tied = [file for file in seen.files if file.used_by or file.uses]
    ranked = sorted(tied, key=lambda file: (-(file.used_by + file.uses), file.path))
    chosen = sorted(ranked[:max_files], key=lambda file: file.path)
    at = {file.path: index for index, file in enumerate(chosen)}
    inside = [tie for tie in seen.ties if tie.source in at and tie.target in at]
    ends = [(at[tie.source], at[tie.target], tie) for tie in inside]
    columns = _columns(_levels(len(chosen), ends))
    rows = _rows(columns, ends)
    labels = _labels([file.path for file in chosen])
    groups, group_of = _groups([file.path for file in chosen])
    return Layout(
        [Place(file, labels[n], group_of[n], columns[n], rows[n]) for n, file in enumerate(chosen)],
        ends[:MAX_TIES][::-1],
        groups,
        max(columns, default=-1) + 1,
        max(rows, default=-1) + 1,
        len(seen.files),
        len(tied),
        len(inside),
    )


def _levels(count: int, ties: Sequence[tuple[int, int, Tie]]) -> npt.NDArray[np.floating]:
    """Trophic levels [count]; the least of each connected part is 0."""
    laplacian = np.zeros((count, count))
    wanted = np.zeros(count)
    parts = list(range(count))
    for source, target, tie in ties:
        laplacian[[source, target], [source, target]] += tie.weight
        laplacian[[source, target], [target, source]] -= tie.weight
        wanted[source] += tie.weight
        wanted[target] -= tie.weight
        merged, gone = sorted((parts[source], parts[target]))
        parts = [merged if part == gone else part for part in parts]
    levels: npt.NDArray[np.floating] = np.linalg.lstsq(laplacian, wanted, rcond=None)[0]
    for part in set(parts):
        members = [index for index in range(count) if parts[index] == part]
        levels[members] -= levels[members].min()
    # Files of one level must not be told apart by how sums were rounded.
    return np.asarray(levels.round(6))


def _columns(levels: npt.NDArray[np.floating]) -> list[int]:
    """The files by level in columns of equal height: as many as there are levels, as far as a
    screen has room, and no fewer than the files need.
    """
    count = len(levels)
    if not count:
        return []
    needed = math.ceil(count / math.ceil(2 * math.sqrt(count)))
    number = max(needed, min(round(levels.max()) + 1, _MAX_COLUMNS))
    found = [0] * count
    for rank, index in enumerate(np.argsort(levels, kind="stable").tolist()):
        found[index] = rank * number // count
    return found


def _rows(columns: Sequence[int], ties: Sequence[tuple[int, int, Tie]]) -> list[int]:
    """Rows such that ties are level: each file at the mean of those it is tied to, in turn."""
    members: dict[int, list[int]] = {}
    for index, number in enumerate(columns):
        members.setdefault(number, []).append(index)
    weights = np.zeros((len(columns), len(columns)))
    for source, target, tie in ties:
        if columns[source] != columns[target]:
            weights[source, target] += tie.weight
            weights[target, source] += tie.weight
    heights = np.zeros(len(columns))
    for column in members.values():
        heights[column] = _spread(len(column))
    for sweep in range(_SWEEPS):
        for number in sorted(members, reverse=bool(sweep % 2)):
            column = members[number]
            total = weights[column].sum(axis=1)
            mean = weights[column] @ heights / np.maximum(total, 1e-9)
            pulled = np.where(total > 0, mean, heights[column]).round(6)
            members[number] = [column[n] for n in np.argsort(pulled, kind="stable").tolist()]
            heights[members[number]] = _spread(len(column))
    found = [0] * len(columns)
    for column in members.values():
        for row, index in enumerate(column):
            found[index] = row
    return found


def _spread(count: int) -> npt.NDArray[np.floating]:
    """Heights of ``count`` rows, around 0."""
    return np.arange(count) - (count - 1) / 2


def _labels(paths: Sequence[str]) -> list[str]:
    """The shortest ends of ``paths`` that differ, of two parts where the name says nothing."""
    found: list[str] = []
    ends = Counter("/".join(path.split("/")[-n:]) for path in paths for n in range(1, 9))
    for path in paths:
        parts = path.split("/")
        plain = posixpath.splitext(parts[-1])[0] in {"__init__", "index", "mod", "lib", "main"}
        least = 2 if plain else 1
        label = path
        for taken in range(min(least, len(parts)), len(parts)):
            end = "/".join(parts[-taken:])
            if ends[end] == 1:
                label = end
                break
        found.append(label)
    return found


def _groups(paths: Sequence[str]) -> tuple[list[str], list[int]]:
    """Folders that tell files apart, the largest first, and the one of each path.

    A folder with more than half of the files says little, so its own folders stand for it.
    """
    depths = {"": 0}
    names = [""] * len(paths)
    while paths:
        largest, size = Counter(names).most_common(1)[0]
        if 2 * size <= len(paths) or depths[largest] < 0:
            break
        depth = depths[largest] + 1
        split = [
            _folder(path, depth) if name == largest else name
            for path, name in zip(paths, names, strict=True)
        ]
        depths[largest] = -1
        depths |= dict.fromkeys(set(split) - set(depths), depth)
        names = split
    ranked = sorted(Counter(names).items(), key=lambda item: (-item[1], item[0]))
    kept = [name for name, _ in ranked]
    if len(kept) > _MAX_GROUPS:
        kept = [*kept[:_MAX_GROUPS], OTHERS]
    shown = [name or TOP for name in kept]
    return shown, [kept.index(name) if name in kept else len(kept) - 1 for name in names]


def _folder(path: str, depth: int) -> str:
    """The first ``depth`` folders of ``path``, or as many as it has."""
    return "/".join(path.split("/")[:-1][:depth])
