"""Uses: names that a file calls or mentions and another file of its family defines.

How sure an edge is, by what else ties the two files (all weights are ours; only their order
matters to what reads them). A name behind a dot may be anybody's method, so it weighs less.

| the defining file                                      | name | behind a dot |
|--------------------------------------------------------|-----:|-------------:|
| is imported by the using one                           | 0.9  | 0.6          |
| is of the same package or namespace                    | 0.8  | 0.5          |
| is imported by an imported one, or named like one (x.c of x.h) | 0.6 | 0.3   |
| shares nothing but the name                            | 0.3  | 0.1          |

Several files of the best kind share its weight. A name that the file defines itself is its own.
By name alone there is no edge if more than three files define it, if it is shorter than four
characters, or if more than a tenth of the files (and ten) use it: that is vocabulary.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from treespan.jobs.graph.facts import Facts
from treespan.jobs.graph.resolvers import FAMILIES, Sources
from treespan.jobs.graph.resolvers.reference import in_both

IMPORTED, SAME_PACKAGE, TWO_STEPS, NAME_ONLY = (0.9, 0.6), (0.8, 0.5), (0.6, 0.3), (0.3, 0.1)
"""Weights of a plain name and of one behind a dot."""

MAX_DEFINERS = 3
"""By name alone, as many files may define a name."""

MAX_RELATED_DEFINERS = 8
"""As many related files may share one name's weight."""

MIN_CHARACTERS = 4
"""By name alone, a name has at least so many characters."""

COMMON_FILES, COMMON_SHARE = 10, 0.1
"""A name that more files use than the larger of these two is vocabulary."""

_BY_FOLDER = frozenset({"Go"})
_BY_DECLARATION = frozenset({"Java", "Kotlin", "Scala", "C#", "PHP"})
_DECLARATION = "declaration"


class Uses:
    """Who defines what, for all files of a repository."""

    def __init__(self, sources: Sources, imports: Sequence[Mapping[int, float]]) -> None:
        self._sources, self._imports = sources, imports
        self._families = [family for family in FAMILIES if sources.of(family)]
        self._packages = [_package(sources, index) for index in range(len(sources.files))]
        self._in_package: dict[str, set[int]] = {}
        for index, package in enumerate(self._packages):
            self._in_package.setdefault(package, set()).add(index)
        self._stems: dict[str, list[int]] = {}
        for index, file in enumerate(sources.files):
            self._stems.setdefault(posixpath.splitext(file.path)[0], []).append(index)

    def edges(self) -> Iterator[tuple[int, int, str, float, int]]:
        """``(using, defining, name, weight, count)``."""
        for family in self._families:
            members = self._sources.of(family)
            definers = _definers(self._sources.facts, members)
            used: Counter[str] = Counter()
            for index in members:
                facts = self._sources.facts[index]
                used.update((facts.uses.keys() | facts.members.keys()) & definers.keys())
            limit = max(COMMON_FILES, COMMON_SHARE * len(members))
            common = {name for name, count in used.items() if count > limit}
            for index in members:
                yield from self._of(index, definers, common)

    def _of(
        self, index: int, definers: Mapping[str, Mapping[int, None]], common: set[str]
    ) -> Iterator[tuple[int, int, str, float, int]]:
        facts = self._sources.facts[index]
        imported = self._imports[index]
        two_steps: frozenset[int] | None = None
        for behind_dot, counts in enumerate((facts.uses, facts.members)):
            for name, count in counts.items():
                found = definers.get(name)
                if found is None or index in found:
                    continue
                tier, chosen = IMPORTED, in_both(imported, found)
                if not chosen and self._packages[index]:
                    here = self._in_package[self._packages[index]]
                    tier, chosen = SAME_PACKAGE, in_both(here, found)
                if not chosen:
                    two_steps = self._two_steps(index) if two_steps is None else two_steps
                    tier, chosen = TWO_STEPS, in_both(two_steps, found)
                if not chosen:
                    vague = len(name) < MIN_CHARACTERS or name in common
                    if vague or len(found) > MAX_DEFINERS:
                        continue
                    tier, chosen = NAME_ONLY, list(found)
                if len(chosen) <= MAX_RELATED_DEFINERS:
                    for target in chosen:
                        yield index, target, name, tier[behind_dot] / len(chosen), count

    def _two_steps(self, index: int) -> frozenset[int]:
        found: set[int] = set()
        for imported in self._imports[index]:
            found.update(self._imports[imported])
            stem = posixpath.splitext(self._sources.files[imported].path)[0]
            found.update(self._stems[stem])
        return frozenset(found)


def _definers(facts: Sequence[Facts], members: Iterable[int]) -> dict[str, dict[int, None]]:
    """The files that define each name; a C prototype counts where nothing else defines it."""
    defined: dict[str, dict[int, None]] = {}
    declared: dict[str, dict[int, None]] = {}
    for index in members:
        for found in facts[index].definitions:
            into = declared if found.kind == _DECLARATION else defined
            into.setdefault(found.name, {})[index] = None
    return {**declared, **defined}


def _package(sources: Sources, index: int) -> str:
    file = sources.files[index]
    if file.language in _BY_FOLDER:
        return f"{posixpath.dirname(file.path)}:{sources.facts[index].package}"
    return sources.facts[index].package if file.language in _BY_DECLARATION else ""
