"""What resolvers share: the files of a repository with their facts, and what they give back."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from treespan.jobs.graph.facts import Facts
from treespan.jobs.graph.source_file import SourceFile

SURE = 1.0
"""Weight of the only file that an import can mean."""

NEAREST = 0.7
"""Weight of the nearest of several files that an import could mean (ours: nearness in the folder
tree is right more often than not, since copies of a package import themselves)."""

SHARED = 0.5
"""Weight that files of equal nearness share."""

MAX_SHARED = 8
"""More files than this that one import could mean are no evidence for any (ours)."""


@dataclass(frozen=True)
class Reference:
    """One imported name of a file."""

    name: str
    """As written in the source."""
    in_repository: bool
    """Whether it means something of this repository, told without resolving it."""
    targets: Mapping[int, float] = field(default_factory=dict)
    """Files that it may mean, each with a weight in (0, 1]; empty where it is not resolved."""


@dataclass(frozen=True)
class Sources:
    """The files of one repository, sorted by path, and what was read of each."""

    files: Sequence[SourceFile]
    facts: Sequence[Facts]

    @cached_property
    def by_path(self) -> dict[str, int]:
        """The file at a path."""
        return {file.path: index for index, file in enumerate(self.files)}

    @cached_property
    def by_name(self) -> dict[str, list[int]]:
        """The files of a name, whatever their folder."""
        found: dict[str, list[int]] = {}
        for index, file in enumerate(self.files):
            found.setdefault(posixpath.basename(file.path), []).append(index)
        return found

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file, directly or further down; ``""`` is the top."""
        found: set[str] = {""}
        for file in self.files:
            folder = posixpath.dirname(file.path)
            while folder and folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return frozenset(found)

    def of(self, languages: Iterable[str]) -> list[int]:
        """The files in one of ``languages``."""
        wanted = frozenset(languages)
        return [index for index, file in enumerate(self.files) if file.language in wanted]

    def first(self, paths: Iterable[str]) -> int | None:
        """The first of ``paths`` that is a file."""
        return next((self.by_path[path] for path in paths if path in self.by_path), None)

    def nearest(self, origin: int, candidates: Iterable[int]) -> dict[int, float]:
        """``candidates`` weighted: the only one, or the nearest to ``origin``, or all that are."""
        found = sorted(set(candidates))
        if len(found) == 1:
            return {found[0]: SURE}
        if not found:
            return {}
        folder = posixpath.dirname(self.files[origin].path)
        distances = {index: distance(folder, self.files[index].path) for index in found}
        least = min(distances.values())
        near = [index for index in found if distances[index] == least]
        if len(near) == 1:
            return {near[0]: NEAREST}
        return shared(near)


class Resolver(Protocol):
    """The imports of one family of languages."""

    def __init__(self, sources: Sources) -> None: ...

    def references(self, index: int) -> Iterator[Reference]:
        """The imports of the file ``index``, in the order of the text."""
        ...


def shared(candidates: Sequence[int]) -> dict[int, float]:
    """``SHARED`` split over ``candidates``; nothing if they are too many."""
    if len(candidates) > MAX_SHARED:
        return {}
    return {index: SHARED / len(candidates) for index in candidates}


def distance(folder: str, path: str) -> int:
    """Steps in the folder tree from ``folder`` to the folder of ``path``."""
    a = folder.split("/") if folder else []
    b = path.split("/")[:-1]
    common = 0
    for left, right in zip(a, b, strict=False):
        if left != right:
            break
        common += 1
    return len(a) + len(b) - 2 * common


def inside(folder: str, path: str) -> str:
    """``path`` seen from ``folder``, normalised; starts with ``..`` if it leaves the repository."""
    return posixpath.normpath(posixpath.join(folder, path))


def in_both(some: Collection[int], others: Collection[int]) -> list[int]:
    """The files of both. Walks the smaller: a name may be defined by thousands of files."""
    smaller, larger = sorted((some, others), key=len)
    return [file for file in smaller if file in larger]
