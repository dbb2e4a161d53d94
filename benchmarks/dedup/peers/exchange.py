"""What every tool is given here and what it hands back, so that all can be scored alike.

A tool is given a folder of tables: ``files.parquet`` (id, repo, path, language, content), and
``words/*.parquet`` (id, text), the same files with their words set apart by single blanks, for
tools whose own idea of a word cannot be set. It writes ``kept.parquet`` (id), and if it can say
more ``pairs.parquet`` (a, b; a < b) or ``clusters.parquet`` (id, cluster).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FILES = "files.parquet"
WORDS = "words"


@dataclass(frozen=True)
class Task:
    """One run of a tool. ``out`` is an empty folder that it may fill."""

    tables: Path
    out: Path
    threshold: float
    workers: int


def read_task() -> Task:
    """The task that the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threshold", type=float, default=0.85)
    parser.add_argument("--workers", type=int, default=2)
    return Task(**vars(parser.parse_args()))


def read_ids(table: Path) -> list[str]:
    """The ids of a table, in its order."""
    ids: list[str] = pq.read_table(table, columns=["id"])["id"].to_pylist()
    return ids


def write_kept(out: Path, ids: Iterable[str]) -> None:
    """Say which files stay."""
    pq.write_table(pa.table({"id": pa.array(list(ids), pa.string())}), out / "kept.parquet")


def write_pairs(out: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Say which pairs were found."""
    ordered = sorted({(min(pair), max(pair)) for pair in pairs})
    columns = {
        "a": pa.array([a for a, _ in ordered], pa.string()),
        "b": pa.array([b for _, b in ordered], pa.string()),
    }
    pq.write_table(pa.table(columns), out / "pairs.parquet")


def write_clusters(out: Path, cluster_of: Mapping[str, int | str]) -> None:
    """Say which files were found to belong together."""
    columns = {
        "id": pa.array(list(cluster_of), pa.string()),
        "cluster": pa.array([str(cluster) for cluster in cluster_of.values()], pa.string()),
    }
    pq.write_table(pa.table(columns), out / "clusters.parquet")


def keep_first(ids: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[str]:
    """The ids that no pair ties to an earlier one that is kept."""
    earlier: dict[str, list[str]] = {}
    for pair in pairs:
        earlier.setdefault(max(pair), []).append(min(pair))
    kept: dict[str, None] = {}
    for id in sorted(ids):
        if not any(other in kept for other in earlier.get(id, [])):
            kept[id] = None
    return list(kept)
