"""The curate step: screen every partition, decide on repositories and duplicates, publish every partition."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.curate.duplicates import decide_duplicates
from treespan.jobs.curate.known import known_parts, known_state, screen_known
from treespan.jobs.curate.publish import publish_partition
from treespan.jobs.curate.screen import STEP, screen_partition
from treespan.platform.errors import UserError
from treespan.platform.ledger import merge_accounts
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.steps import Context, Result, Step

_RULES_IN_ORDER = (
    "language",
    "licence",
    "repository-duplicate",
    "ranking",
    "minified",
    "vendored",
    "generated",
    "size",
    "words",
    "line-length",
    "mean-line-length",
    "alphanumeric",
    "exact-duplicate",
    "near-duplicate",
)
"""As they are asked; what follows are the verdicts of the parser."""

_FIXES = {
    "language": "Widen languages or kinds",
    "licence": "Set unknown_licence: keep, or extend add_licences",
    "repository-duplicate": "Raise repository_dedup.threshold",
    "ranking": "Lower ranking.drop_share",
    "exact-duplicate": "Take earlier corpora out of against, or sources that repeat out",
    "near-duplicate": "Raise near_dedup.threshold",
    "syntax": "Raise syntax.max_error_ratio",
}


def make_step(config: CurateConfig) -> Step:
    """Ingest's files to curated ``files/``, ``index/`` and ``ledger/part-*.arrow``, and the table
    ``repositories.arrow``.
    """
    return Step(
        name=STEP,
        version=3,
        params=config.to_dict(),
        run=partial(run, config),
        inputs=("ingest",),
        fingerprint=lambda _: known_state(config),
    )


def run(config: CurateConfig, context: Context) -> Result:
    """Curate; counts hold the input, the output, and the funnel of every rule."""
    tables = context.inputs["ingest"].files("files")
    store, folder, work = context.store, context.folder, context.work

    def screen(partition: int) -> Receipt:
        return screen_partition(store, tables[partition], work, partition, config)

    def publish(partition: int) -> Receipt:
        return publish_partition(
            store, tables[partition], folder, work, partition, decided.counts["decided"], config
        )

    def screen_earlier(number: int) -> Receipt:
        return screen_known(store, work, known[number], config)

    screened = map_partitions(context, "screen", screen, len(tables))
    known = known_parts(config, len(tables))
    earlier = map_partitions(context, "screen-known", screen_earlier, len(known)) if known else []
    decided = decide_duplicates(context, [*screened, *earlier], known, len(tables), config)
    published = map_partitions(context, "publish", publish, len(tables))
    counts = {
        "input_files": _total(screened, "files"),
        "input_bytes": _total(screened, "bytes"),
        "output_files": _total(published, "files"),
        "output_bytes": _total(published, "bytes"),
        "repositories": _total(published, "repositories"),
        "known_files": sum(receipt.counts["files"] for receipt in earlier),
        **{name: decided.counts[name] for name in ("near_dedup", "repository_rules")},
        **merge_accounts((receipt.counts for receipt in published), _RULES_IN_ORDER),
    }
    if not counts["output_files"]:
        raise nothing_left(counts)
    return Result(files_of([decided, *published]), counts)


def nothing_left(counts: Mapping[str, Any]) -> UserError:
    """The error for a corpus of which nothing is left: what took it, and the way to keep some."""
    took = {rule: sum(by.values()) for rule, by in counts["funnel"].items()}
    by_size = sorted(took, key=lambda rule: (-took[rule], rule))
    total = counts["input_files"]
    told = ", ".join(f"{rule} took {took[rule]} of {total}" for rule in by_size)
    first = by_size[0] if by_size else ""
    fix = _FIXES.get(first, f"Relax the setting of {first}" if first else "Correct the sources")
    return UserError(
        f"no file is left after curation: {told or 'there was none'}.", f"{fix} in the recipe."
    )


def _total(receipts: list[Receipt], name: str) -> int:
    return sum(receipt.counts[name] for receipt in receipts)
