"""The tools that are compared, and the environment that each runs in."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"


@dataclass(frozen=True)
class Tool:
    """A tool: its adapter, what it needs installed, and what cannot be made equal."""

    name: str
    module: str
    requirements: str | None = None
    """Name of the file of requirements; None for this interpreter."""
    python: tuple[int, int] = (3, 11)
    """The oldest Python that its pinned release runs on."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables."""
    clusters: str | None = None
    """A second adapter, not timed, that tells which files were found to belong together."""
    remark: str = ""


TOOLS = (
    Tool("treespan", "treespan_command", remark="verified pairs"),
    Tool("treespan-recipe", "treespan_recipe", remark="on Ray, with ingest; tells what goes"),
    Tool("rensa", "rensa_script", "rensa", remark="script: 25 x 10 bands, estimate at least 0.85"),
    Tool("datasketch", "datasketch_script", "datasketch", remark="script: MinHashLSH's own bands"),
    Tool("text-dedup", "text_dedup", "text-dedup", (3, 12), remark="verified; lowers case"),
    # Its manual gives (1 / buckets)^(1 / hashes) as the threshold: 0.84, nearest below 0.85.
    Tool(
        "datatrove",
        "datatrove_pipeline",
        "datatrove",
        variables={"BUCKETS": "16", "HASHES": "16"},
        remark="16 x 16 bands, clusters",
    ),
    # 95 % of the pairs at 0.85 meet, and half of those at 0.75.
    Tool(
        "datatrove-20x12",
        "datatrove_pipeline",
        "datatrove",
        variables={"BUCKETS": "20", "HASHES": "12"},
        remark="20 x 12 bands, clusters",
    ),
    Tool(
        "data-juicer",
        "data_juicer",
        "data-juicer",
        clusters="data_juicer_clusters",
        remark="its own bands, clusters",
    ),
    Tool(
        "data-juicer-ray",
        "data_juicer",
        "data-juicer",
        variables={"RAY": "1"},
        remark="its own bands; tells what stays",
    ),
    Tool(
        "data-prep-kit",
        "data_prep_kit",
        "data-prep-kit",
        remark="25 x 10 bands, estimate at least 0.85 within a band; lowers case; tells what stays",
    ),
)


class NoInterpreterError(Exception):
    """A tool needs a newer Python than there is."""


def interpreter(
    requirements: str | None, oldest: tuple[int, int], folder: Path, newer: Path | None
) -> Path:
    """The Python that has ``requirements``, installed below ``folder`` if they are not yet.

    ``newer`` is an interpreter for what this one is too old for.
    """
    if requirements is None:
        return Path(sys.executable)
    base = Path(sys.executable) if sys.version_info >= oldest else newer
    if base is None:
        raise NoInterpreterError(f"needs Python {oldest[0]}.{oldest[1]}: give one as --python")
    wanted = REQUIREMENTS / f"{requirements}.txt"
    home = folder / requirements
    stamp = home / "installed"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    python = home / "bin" / "python"
    if not (stamp.exists() and stamp.read_text() == digest):
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([base, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
        stamp.write_text(digest)
    return python
