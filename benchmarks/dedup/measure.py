"""What a command and everything it starts costs: processor seconds, wall seconds, memory.

    python -m benchmarks.dedup.measure USAGE LIMIT_S COMMAND...

Runs COMMAND and writes its ``Usage`` as JSON. This process adopts what outlives its parent (Linux's
child subreaper), so that daemons are counted too; what is still there ten seconds after the command
has ended is ended. Processor time is what the kernel reports of all children. A parent that ignores
the end of its children loses theirs, so it is also read from /proc four times a second, process by
process, and the larger of the two sums counts: both are lower bounds. Memory is the largest sum of
proportional set sizes seen, pages shared between processes being counted once.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

INTERVAL_S = 0.25
GRACE_S = 10.0
_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a command cost, and how it ended (``code`` as of a shell; 124 where it took too long)."""

    code: int
    cpu_s: float
    wall_s: float
    peak_bytes: int


def measure(
    command: Sequence[str], log: Path, environment: dict[str, str], limit_s: float
) -> Usage:
    """Run ``command`` with its output in ``log``, in a process of its own."""
    usage = log.with_suffix(".usage.json")
    outer = [sys.executable, "-m", "benchmarks.dedup.measure", str(usage), str(limit_s)]
    with log.open("wb") as output:
        subprocess.run(
            [*outer, *command], env=environment, stdout=output, stderr=output, check=True
        )
    return Usage(**json.loads(usage.read_text()))


class _Sampler:
    """Processor time and memory of all descendants of this process, as /proc shows them."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._ticks: dict[tuple[int, int], int] = {}

    def sample(self) -> None:
        total = 0
        for pid, started, ticks in descendants():
            self._ticks[pid, started] = ticks
            total += _proportional_bytes(pid)
        self.peak_bytes = max(self.peak_bytes, total)

    @property
    def cpu_s(self) -> float:
        return sum(self._ticks.values()) / _TICKS


def descendants() -> list[tuple[int, int, int]]:
    """All processes below this one: id, start time and processor time, the last two in ticks."""
    children: dict[int, list[tuple[int, int, int]]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path(f"/proc/{entry}/stat").read_text()
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2 :].split()  # the name may hold anything
        process = int(entry), int(fields[19]), int(fields[11]) + int(fields[12])
        children.setdefault(int(fields[1]), []).append(process)
    found: list[tuple[int, int, int]] = []
    parents = [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += [process[0] for process in below]
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _reap() -> dict[int, int]:
    """The processes that ended by now, and how."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def _end(signal_number: int) -> None:
    for pid, _, _ in descendants():
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            continue


def run(command: Sequence[str], limit_s: float) -> Usage:
    """Run ``command`` below this process, which must have no other children."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot adopt orphaned processes")
    sampler = _Sampler()
    started = time.perf_counter()
    child = os.posix_spawnp(command[0], list(command), os.environ)
    code: int | None = None
    while code is None:
        time.sleep(INTERVAL_S)
        sampler.sample()
        code = _reap().get(child)
        if code is None and time.perf_counter() - started > limit_s:
            code = 124
            _end(signal.SIGTERM)
    wall_s = time.perf_counter() - started
    for patience, signal_number in ((GRACE_S, signal.SIGTERM), (GRACE_S, signal.SIGKILL)):
        until = time.perf_counter() + patience
        while descendants() and time.perf_counter() < until:
            sampler.sample()
            _reap()
            time.sleep(INTERVAL_S)
        _end(signal_number)
    _reap()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = max(spent.ru_utime + spent.ru_stime, sampler.cpu_s)
    peak = max(sampler.peak_bytes, spent.ru_maxrss * 1024)
    return Usage(code if code >= 0 else 128 - code, cpu_s, wall_s, peak)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(asdict(run(sys.argv[3:], float(sys.argv[2])))))
