"""The record of a run: which published step belongs to which step of a recipe.

``show`` and ``why`` start from here. A record is rewritten after every step, so it also tells how
far a killed run had come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from treespan.platform.errors import UserError
from treespan.platform.steps import Output, read_output
from treespan.platform.store import Store

_FOLDER = "runs"


@dataclass(frozen=True)
class Run:
    """The newest run of one recipe in a store."""

    name: str
    updated_at: str
    steps: Mapping[str, Output]
    pending: tuple[str, ...]
    """Steps of the recipe that have not been published yet."""


def write_run(
    store: Store, name: str, outputs: Mapping[str, Output], all_steps: tuple[str, ...]
) -> None:
    """Record the steps published so far for the recipe ``name``."""
    record: dict[str, Any] = {
        "name": name,
        "updated_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "steps": {step: output.folder for step, output in outputs.items()},
        "all_steps": list(all_steps),
    }
    store.write_json(f"{_FOLDER}/{name}.json", record)


def read_run(store: Store, name: str | None = None, *, with_step: str | None = None) -> Run:
    """The run called ``name``, or of all (``with_step``: of those that have it) the newest.

    Raises ``UserError`` if the store holds no such run.
    """
    records = [store.read_json(path) for path in store.list_files(_FOLDER)]
    if name is not None:
        records = [record for record in records if record["name"] == name]
    if with_step is not None:
        records = [record for record in records if with_step in record["steps"]]
    if not records:
        what = f"no run called {name!r}" if name else "no run"
        what += f" that got to the step {with_step}" if with_step else ""
        raise UserError(
            f"{store.uri} holds {what}.", "Give the --store of an earlier `treespan run`."
        )
    record = max(records, key=lambda found: str(found["updated_at"]))
    found = {step: read_output(store, folder) for step, folder in record["steps"].items()}
    steps = {step: output for step, output in found.items() if output is not None}
    pending = tuple(step for step in record["all_steps"] if step not in steps)
    return Run(record["name"], record["updated_at"], steps, pending)
