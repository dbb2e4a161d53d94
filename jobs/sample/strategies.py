"""The strategies that choose which files come next, each a small function from what is left.

The first four are those of Algorithm 1. The paper names their signals, not their details: what is
ours is in docs/sampling.md. ``topological`` and ``repository`` are other papers' orders of whole
repositories, for comparison. A recipe may name further ones as ``package.module:function``.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from importlib import import_module
from random import Random

import numpy as np

from treespan.jobs.sample.dependencies import components, used_first
from treespan.jobs.sample.remaining import Remaining
from treespan.jobs.sample.repository import Repository, folder_of
from treespan.platform.errors import UserError

Strategy = Callable[[Repository, Remaining, Random, int], list[int]]
"""The next files of a repository, one at least, in reading order; all must be left. The last
argument is how many are asked for; a strategy that orders the whole repository gives all."""

_PER_STEP = 0.5
"""A file two uses away counts half of what one does that is one use away (ours)."""


def content(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    """A random file and what is left of its cluster, nearest by TF-IDF cosine first."""
    seed = left.draw(rng)
    members = repository.members[repository.cluster_of[seed]]
    others = np.array([index for index in members if index in left and index != seed], np.int64)
    if not len(others):
        return [seed]
    vectors = repository.vectors
    cosines = (vectors[others] @ vectors[[seed]].T).toarray()[:, 0]
    nearest = np.argsort(-cosines, kind="stable")[: most - 1]
    return [seed, *others[nearest].tolist()]


def path(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    """A random file, then those of its folder, of the folders below, of the folder above and so on.

    Equally near ones are drawn. Files that share no folder with the first are not near.
    """
    seed = left.draw(rng)
    block = [seed]
    folder = repository.folders[seed]
    levels = [repository.own_files[folder]]
    while folder:
        levels.append(repository.subtrees[folder])
        folder = folder_of(folder)
    within = range(seed, seed + 1)
    for level in levels:
        block += left.draw_around(level, within, most - len(block), rng)
        within = level
    return block


def dependency(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    """A random file and what hangs together with it by the surest edges, the used before the using.

    Sureness is the product of the weights on the way, halved for each further step.
    """
    seed = left.draw(rng)
    block: set[int] = set()
    # Of equally sure files those that are used go first, then by index.
    reachable = [(-1.0, False, seed)]
    while reachable and len(block) < most:
        sureness, _, index = heappop(reachable)
        if index in block:
            continue
        block.add(index)
        for is_using, found in enumerate((repository.uses, repository.used_by)):
            for other, weight in found[index].items():
                if other in left and other not in block:
                    heappush(reachable, (sureness * weight * _PER_STEP, bool(is_using), other))
    return used_first(repository.uses, block)


def random(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    """Any files: real projects are incomplete, and what is related may not exist yet."""
    return left.draw_around(range(len(repository.files)), range(0), most, rng)


def topological(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    """All that is left in dependency order, one connected group after the other (DeepSeek-Coder)."""
    groups = components(repository.uses, left)
    return [index for group in groups for index in used_first(repository.uses, group)]


def repository(repository: Repository, left: Remaining, rng: Random, most: int) -> list[int]:
    """All that is left in the order of folders."""
    return list(left)


STRATEGIES: dict[str, Strategy] = {
    "content": content,
    "path": path,
    "dependency": dependency,
    "random": random,
    "topological": topological,
    "repository": repository,
}


def load_strategy(name: str) -> Strategy:
    """The strategy called ``name``, or the function that ``package.module:function`` names.

    Raises ``UserError`` if there is none.
    """
    module, colon, function = name.partition(":")
    if not colon:
        if name in STRATEGIES:
            return STRATEGIES[name]
        raise UserError(
            f"sample.strategies: there is no strategy {name!r}.",
            f"Known are {', '.join(STRATEGIES)}; one of your own is written package.module:function.",
        )
    try:
        found: Strategy = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"sample.strategies: {name!r} cannot be loaded ({error}).",
            "Put its package on the Python path, on the workers too.",
        ) from None
    if not callable(found):
        raise UserError(f"sample.strategies: {name!r} is no function.", "Name a function.")
    return found
