"""Processor time and memory of this process and all below it, from /proc (Linux)."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_S = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One process at one moment."""

    parent: int
    command: str
    cpu_s: float
    """Of its own, without its children."""
    peak_mb: float
    """Largest resident set so far (VmHWM), mapped files included."""
    own_mb: float
    """Memory of its own at this moment (RssAnon)."""


def processes() -> dict[int, Process]:
    """All processes of the machine that can be read."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The command stands in brackets and may hold anything.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                status = dict(
                    line.split(":", 1) for line in (entry / "status").read_text().splitlines()
                )
            except (OSError, UnicodeDecodeError):
                continue
            peak, own = (
                int(status.get(name, "0 kB").split()[0]) / 1024 for name in ("VmHWM", "RssAnon")
            )
            ticks = sum(int(field) for field in fields[11:13])
            found[int(entry.name)] = Process(int(fields[1]), command, ticks / _TICKS, peak, own)
    return found


def descendants(root: int) -> dict[int, Process]:
    """``root`` and all below it."""
    everything = processes()
    found = {root: everything[root]} if root in everything else {}
    grown = True
    while grown:
        more = {
            pid: process
            for pid, process in everything.items()
            if process.parent in found and pid not in found
        }
        found |= more
        grown = bool(more)
    return found


def workers_in(tree: dict[int, Process]) -> set[int]:
    """Ray's worker processes, and what they started."""
    found = {pid for pid, process in tree.items() if process.command.startswith("ray::")}
    grown = True
    while grown:
        more = {pid for pid, process in tree.items() if process.parent in found} - found
        found |= more
        grown = bool(more)
    return found


class Sampler:
    """Watches the processes below this one for the time of a block.

    A worker counts from when it has its name: what it took to start and to import Ray is the
    engine's. What a process does in its last ``SAMPLE_S`` seconds is not seen.
    """

    def __init__(self) -> None:
        self.worker_peak_mb = 0.0
        self.worker_own_mb = 0.0
        self._before: dict[int, float] = {}
        self._last: dict[int, float] = {}
        self._worker_before: dict[int, float] = {}
        self._worker_last: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def total_cpu_s(self) -> float:
        """Of everything: driver, Ray's own processes, workers."""
        return sum(cpu - self._before.get(pid, 0.0) for pid, cpu in self._last.items())

    @property
    def worker_cpu_s(self) -> float:
        """Of Ray's workers and the parsers that they start."""
        return sum(cpu - self._worker_before[pid] for pid, cpu in self._worker_last.items())

    def __enter__(self) -> Self:
        self._before = {pid: process.cpu_s for pid, process in descendants(os.getpid()).items()}
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        tree = descendants(os.getpid())
        self._last |= {pid: process.cpu_s for pid, process in tree.items()}
        for pid in workers_in(tree):
            process = tree[pid]
            is_ray = process.command.startswith("ray::")
            self._worker_before.setdefault(pid, process.cpu_s if is_ray else 0.0)
            self._worker_last[pid] = process.cpu_s
            self.worker_peak_mb = max(self.worker_peak_mb, process.peak_mb)
            self.worker_own_mb = max(self.worker_own_mb, process.own_mb)
