"""Content-addressed steps: an output folder is named by a hash of all that decides its content.

The key of a step covers its configuration, its code version and the digests of its inputs, so a
second run finds its folder published and does nothing, variants never collide, and a change of an
input changes all that follows from it. A folder counts as published once ``manifest.json`` is
there; until then a killed step leaves its finished parts, each with a receipt, for the next try.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.store import FileEntry, Store

WORK = "work"
"""A step's folder for what must not outlive it: receipts, scratch tables, training checkpoints."""


@dataclass(frozen=True)
class Output:
    """A published step: where it is and what its manifest says."""

    store: Store
    folder: str
    manifest: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hash of all files and counts: equal output has an equal digest, wherever it was made."""
        return str(self.manifest["digest"])

    @property
    def counts(self) -> Mapping[str, Any]:
        """What the step counted; the same on every machine."""
        counts: Mapping[str, Any] = self.manifest["counts"]
        return counts

    def files(self, prefix: str) -> list[str]:
        """Store paths of the published files below ``prefix`` of this step, in order."""
        names = (entry["path"] for entry in self.manifest["files"])
        return [f"{self.folder}/{name}" for name in names if name.startswith(f"{prefix}/")]

    def entries(self) -> dict[str, FileEntry]:
        """What the manifest says of each published file, by its store path."""
        found = (FileEntry(**entry) for entry in self.manifest["files"])
        return {f"{self.folder}/{entry.path}": entry for entry in found}


@dataclass
class Result:
    """What a step hands back: its files, what it counted, and measures that vary by machine."""

    files: Sequence[FileEntry]
    counts: Mapping[str, Any]
    measures: Mapping[str, Any] = field(default_factory=dict)
    varying_files: Sequence[FileEntry] = ()
    """Files that hold measures: they differ from run to run and are no part of the digest."""


@dataclass(frozen=True)
class Context:
    """What a step may use while it runs. ``folder`` and paths in files are relative to the store"""

    store: Store
    folder: str
    inputs: Mapping[str, Output]
    progress: Progress

    @property
    def work(self) -> str:
        """The folder for scratch files; removed once the step is published."""
        return f"{self.folder}/{WORK}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a recipe."""

    name: str
    version: int
    """Bumped by hand whenever the code gives other output for the same input."""
    params: Mapping[str, Any]
    """All settings that the output depends on, as JSON types."""
    run: Callable[[Context], Result]
    inputs: tuple[str, ...] = ()
    """Names of the steps whose outputs it reads."""
    needs_ray: bool = True
    """Whether it has work for a cluster."""
    cpus: int = 1
    """Logical CPUs that it needs at once; with fewer it would wait for ever."""
    fingerprint: Callable[[Store], Any] = lambda store: None
    """State of the outside world that the step reads, as JSON types; what it fetches to tell, it
    keeps in the store."""
    check: Callable[[], None] = lambda: None
    """Raises ``UserError`` for what would end the step, as far as it can be told before any other
    step has run."""

    def key(self, store: Store, inputs: Mapping[str, Output]) -> str:
        """The hash that names the output folder."""
        decisive = {
            "name": self.name,
            "version": self.version,
            "params": self.params,
            "inputs": {name: inputs[name].digest for name in self.inputs},
            "fingerprint": self.fingerprint(store),
        }
        text = json.dumps(decisive, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_output(store: Store, folder: str) -> Output | None:
    """The output published in ``folder``, or None where none is."""
    path = f"{folder}/manifest.json"
    if not store.exists(path):
        return None
    try:
        return Output(store, folder, store.read_json(path))
    except ValueError:
        raise UserError(
            f"{store.path(path)} is damaged: it is not JSON.", "Delete its folder and run again."
        ) from None


def find_output(store: Store, step: str, digest: str) -> Output | None:
    """The published output of the step called ``step`` that has ``digest``, if there is one."""
    for folder in store.list_folders("steps"):
        if folder.rpartition("/")[2].rpartition("-")[0] == step:
            output = read_output(store, folder)
            if output is not None and output.digest == digest:
                return output
    return None


def published(step: Step, store: Store, inputs: Mapping[str, Output]) -> Output | None:
    """The step's output if it has been published for these inputs."""
    output = read_output(store, _folder(step, store, inputs))
    if output is not None:
        # A process that was killed right after it published left its scratch files.
        store.delete_folder(f"{output.folder}/{WORK}")
    return output


def execute(step: Step, store: Store, inputs: Mapping[str, Output], progress: Progress) -> Output:
    """Run the step and publish its output."""
    needed = {name: inputs[name] for name in step.inputs}
    folder = _folder(step, store, inputs)
    started_at, started = datetime.now(UTC), time.monotonic()
    store.write_json(f"{folder}/{WORK}/started.json", {"params": step.params})
    result = step.run(Context(store, folder, needed, progress))
    store.delete_unfinished(folder)
    seconds = time.monotonic() - started
    files, varying = (
        sorted((_inside(entry, folder) for entry in entries), key=lambda entry: entry.path)
        for entries in (result.files, result.varying_files)
    )
    manifest = {
        "step": step.name,
        "key": folder.rpartition("-")[2],
        "version": step.version,
        "params": step.params,
        "inputs": {name: output.digest for name, output in needed.items()},
        "files": [entry.to_dict() for entry in files],
        "varying_files": [entry.to_dict() for entry in varying],
        "digest": digest_of(files, result.counts),
        "counts": result.counts,
        "measures": result.measures,
        "seconds": round(seconds, 3),
        "started_at": started_at.isoformat(timespec="seconds"),
        "versions": _versions(),
    }
    store.write_json(f"{folder}/manifest.json", manifest)
    store.delete_folder(f"{folder}/{WORK}")
    # Read back, so that a first run and a second see the very same values.
    return Output(store, folder, store.read_json(f"{folder}/manifest.json"))


def _folder(step: Step, store: Store, inputs: Mapping[str, Output]) -> str:
    return f"steps/{step.name}-{step.key(store, inputs)}"


def digest_of(files: Sequence[FileEntry], counts: Mapping[str, Any]) -> str:
    """One hash for what a step put out: its files, by path and hash, and its counts."""
    lines = sorted(f"{entry.path}\0{entry.sha256}\n" for entry in files)
    counted = json.dumps(counts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256("".join([*lines, counted]).encode()).hexdigest()


def _inside(entry: FileEntry, folder: str) -> FileEntry:
    return FileEntry(entry.path.removeprefix(f"{folder}/"), entry.bytes, entry.sha256, entry.rows)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("treespan", "ray", "torch", "deepspeed", "pyarrow", "tokenizers", "tree-sitter"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a checkout, without an install
            continue
    return found
