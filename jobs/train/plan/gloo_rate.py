"""How fast two processes of this machine reduce an array through gloo."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist

_WORLD = 2
_TIMES = 5


@cache
def measure_gloo(elements: int) -> float:
    """Bytes per second through each process of a ring, for an all-reduce of float32 ``elements``.

    A ring moves 2 (p - 1) / p of the array through each of p processes; of the rate, the inverse
    for one element is the time of a message.
    """
    with tempfile.TemporaryDirectory(prefix="treespan-gloo-") as folder:
        command = [sys.executable, "-m", __name__, f"{folder}/meet", str(elements)]
        processes = [
            subprocess.Popen([*command, str(rank)], stdout=subprocess.PIPE, text=True)
            for rank in range(_WORLD)
        ]
        said = [process.communicate()[0] for process in processes]
    seconds = max(float(json.loads(text)) for text in said)
    return 4 * elements / seconds


def _measure(meeting: Path, elements: int, rank: int) -> float:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=_WORLD)
    array = torch.ones(elements)
    times = []
    for _ in range(_TIMES):
        dist.barrier()
        started = time.perf_counter()
        dist.all_reduce(array)
        times.append(time.perf_counter() - started)
    dist.destroy_process_group()
    return min(times)


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
