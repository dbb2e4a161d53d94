"""How often each file of a repository is read in an epoch: language rates and the repository cap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treespan.jobs.sample.config import SampleConfig
from treespan.platform.draws import hash64, uniform
from treespan.platform.ledger import Decision, decide

STEP = "sample"
LANGUAGE_RATE, REPO_CAP = "language-rate", "repo-cap"
RULES = (LANGUAGE_RATE, REPO_CAP)


def copies_of(
    files: Sequence[Mapping[str, Any]], config: SampleConfig
) -> tuple[list[int], list[Decision]]:
    """How often each of the files of one repository is read, and the ledger rows of those that are not.

    ``files`` have at least file_id, repo, path, language and size. The fraction of a rate is drawn
    by the file's id; under a cap files are taken in the order of such draws for as long as they fit.
    """
    copies = [_by_rate(file, config) for file in files]
    decisions = [
        _drop(file, LANGUAGE_RATE, value=config.languages[file["language"]], threshold=None)
        for file, count in zip(files, copies, strict=True)
        if count == 0
    ]
    cap = config.max_repo_bytes
    wanted = sum(count * file["size"] for count, file in zip(copies, files, strict=True))
    if cap is None or wanted <= cap:
        return copies, decisions
    draws = [hash64(config.seed, REPO_CAP, file["file_id"]) for file in files]
    taken = 0
    for place in sorted(range(len(files)), key=draws.__getitem__):
        reads = copies[place]
        # All copies of a file or none: half of a file's weight would be another language mix.
        with_it = taken + reads * files[place]["size"]
        if with_it <= cap:
            taken = with_it
        elif reads:
            copies[place] = 0
            decisions.append(_drop(files[place], REPO_CAP, value=with_it, threshold=cap))
    return copies, decisions


def _by_rate(file: Mapping[str, Any], config: SampleConfig) -> int:
    rate = config.languages.get(file["language"], 1.0)
    whole = int(rate)
    return whole + (uniform(config.seed, LANGUAGE_RATE, file["file_id"]) < rate - whole)


def _drop(file: Mapping[str, Any], rule: str, *, value: float, threshold: float | None) -> Decision:
    return decide(file, step=STEP, rule=rule, value=value, threshold=threshold)
