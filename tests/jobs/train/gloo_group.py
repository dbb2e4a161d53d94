"""Groups of worker processes for tests of the training loop, without Ray."""

import multiprocessing as mp
import os
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def in_group(world: int, work: Callable[..., None], folder: Path, *arguments: Any) -> None:
    """Run ``work(rank, world, *arguments)`` in ``world`` processes that form a gloo group."""
    context = mp.get_context("forkserver")
    # Imported once, by the server that all groups are forked from.
    context.set_forkserver_preload(["deepspeed", "treespan.jobs.train.loop", __name__])
    rendezvous = folder / f"rendezvous-{uuid.uuid4().hex}"  # a file that was used would mislead
    processes = [
        context.Process(target=_member, args=(rank, world, work, rendezvous, arguments))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    codes = [process.exitcode for process in processes]
    for process in processes:
        if process.is_alive():
            process.kill()
    assert codes == [0] * world, (rendezvous.parent / "errors.txt").read_text()


def _member(
    rank: int, world: int, work: Callable[..., None], rendezvous: Path, arguments: tuple[Any, ...]
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world)
    try:
        work(rank, world, *arguments)
    except BaseException:  # noqa: BLE001 - whatever it was, the other side must see it
        with (rendezvous.parent / "errors.txt").open("a") as file:
            file.write(f"rank {rank} of {world}\n{traceback.format_exc()}\n")
        os._exit(1)
    dist.barrier()
    dist.destroy_process_group()
