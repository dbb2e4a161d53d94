import random

import pytest

from treespan.jobs.curate import repository_dedup as module
from treespan.jobs.curate.repository_dedup import Project, find_copies

Sets = dict[str, set[str]]


def contents(*ranges: range) -> set[str]:
    return {f"c{i:05}" for some in ranges for i in some}


def find(
    sets: Sets, threshold: float = 0.8, min_files: int = 5, **stars: int
) -> dict[str, tuple[str, float]]:
    projects = [
        Project(repo, stars.get(repo, -1), -1, len(held), len(held)) for repo, held in sets.items()
    ]
    copies = [(content, repo) for repo, held in sets.items() for content in held]
    found, left_out = find_copies(projects, copies, threshold, min_files)
    assert left_out == 0
    return found


def brute_force(sets: Sets, threshold: float, min_files: int) -> dict[str, tuple[str, float]]:
    """Everyone against everyone who stays."""
    stay: list[str] = []
    found = {}
    for repo in sorted(sets, key=lambda repo: (-len(sets[repo]), repo)):
        mine = sets[repo]
        shares = [(len(mine & sets[other]) / len(mine), other) for other in stay if mine]
        best = max(shares, key=lambda share: share[0], default=(0.0, ""))
        if len(mine) >= min_files and best[0] >= threshold:
            found[repo] = (best[1], best[0])
        else:
            stay.append(repo)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_as_brute_force(seed: int) -> None:
    draw = random.Random(seed)
    universe = [f"c{i}" for i in range(draw.choice([12, 40, 200]))]
    sets: Sets = {}
    for number in range(25):
        held = set(draw.sample(universe, draw.randint(0, 12)))
        if sets and draw.random() < 0.6:
            parent = sorted(sets[draw.choice(sorted(sets))])
            held = set(draw.sample(parent, draw.randint(0, len(parent)))) | set(sorted(held)[:3])
        sets[f"r{number:02}"] = held
    threshold = draw.choice([0.3, 0.5, 0.8, 1.0])
    least = draw.choice([1, 5])
    found = find(sets, threshold, least)
    assert found == brute_force(sets, threshold, least)
    if threshold == 0.3:
        assert found


def test_of_a_fork_and_its_upstream_the_better_known_stays() -> None:
    sets = {"up": contents(range(100)), "fork": contents(range(10, 105))}
    assert find(sets) == {"fork": ("up", 90 / 95)}
    assert find(sets, up=5, fork=900) == {"up": ("fork", 0.9)}


def test_the_keep_policy_in_its_order() -> None:
    better = [
        Project("z", 3, 0, 1, 1),
        Project("y", 2, 9, 1, 1),
        Project("x", 2, 8, 7, 1),
        Project("a", 2, 8, 6, 1),
        Project("b", 2, 8, 6, 1),
    ]
    ranks = [project.rank for project in better]
    assert ranks == sorted(ranks)


def test_a_large_repository_stays_with_a_famous_one_inside_it() -> None:
    sets = {"large": contents(range(1000)), "small": contents(range(20))}
    assert find(sets, small=50_000) == {}
    assert find(sets) == {"small": ("large", 1.0)}


def test_the_threshold_is_met_exactly() -> None:
    sets = {"a": contents(range(10)), "b": contents(range(8), range(20, 22))}
    assert find(sets) == {"b": ("a", 0.8)}
    assert find(sets, 0.81) == {}
    assert find({"a": contents(range(4)), "b": contents(range(4))}) == {}


def test_it_goes_for_one_that_stays() -> None:
    # The middle goes for the first; the last is like the middle only, so it stays.
    sets = {
        "a": contents(range(100)),
        "b": contents(range(15, 110)),
        "c": contents(range(35, 125)),
    }
    assert find(sets, 0.8) == {"b": ("a", 85 / 95)}


def test_a_thousand_mirrors_and_a_file_that_everybody_has() -> None:
    sets = {f"mirror{i:04}": contents(range(30)) for i in range(1000)}
    own = {f"own{i:04}": contents(range(5), range(100 * i, 100 * i + 20)) for i in range(1, 300)}
    found = find({**sets, **own})
    assert found == dict.fromkeys(sorted(sets)[1:], ("mirror0000", 1.0))


def test_what_hot_contents_leave_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # Windows of 8 of 10 common contents, and 2 of one's own: neighbours have 7, which is too few.
    sets = {
        f"r{i}": {f"c{(i + k) % 10}" for k in range(8)} | {f"own{i}{k}" for k in range(2)}
        for i in range(10)
    }
    sets["z"] = sets["r0"]
    projects = [Project(repo, -1, -1, 10, 10) for repo in sets]
    copies = [(content, repo) for repo, held in sets.items() for content in held]
    assert find_copies(projects, copies, 0.8, 5) == ({"z": ("r0", 1.0)}, 0)
    monkeypatch.setattr(module, "MAX_PARTNERS", 3)
    found, left_out = find_copies(projects, copies, 0.8, 5)
    assert found == {"z": ("r0", 1.0)}  # by a content that is rare
    assert left_out > 0
