"""Correctness and speed on one GPU, in one table, in under ten minutes.

    python -m benchmarks.gpu [--toy] [--stages NAME,NAME] [--out FOLDER]

Each stage is a process of its own with a limit of its own: one that fails or hangs leaves the
others standing, and the table says so. ``--toy`` runs the same code on a CPU with a tiny model.
Writes ``gpu.txt`` and ``gpu.json``, and a log of each stage. Ends with 1 if a target was not met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmarks.gpu.figures import Figure, save
from benchmarks.gpu.stages import SCALES, run, stages


def main(given: Sequence[str] | None = None) -> int:
    """Run the stages and show the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--toy", action="store_true", help="a tiny model on the CPU")
    parser.add_argument("--stages", help="only these, with commas")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), help="for the results")
    arguments = parser.parse_args(given)
    if not arguments.toy and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --toy runs on the CPU")
    name = "toy" if arguments.toy else "gpu"
    chosen = stages(SCALES[name]())
    if arguments.stages:
        wanted = set(arguments.stages.split(","))
        if unknown := wanted - {stage.name for stage in chosen}:
            parser.error(f"no stages {', '.join(sorted(unknown))}")
        chosen = [stage for stage in chosen if stage.name in wanted]
    logs = arguments.out / "gpu"
    logs.mkdir(parents=True, exist_ok=True)
    figures: list[Figure] = []
    for stage in chosen:
        print(f"{stage.title} ...", file=sys.stderr, flush=True)
        figures += run(stage, name, logs)
        save(figures, arguments.out, show=stage is chosen[-1])
    return int(any(figure.passed is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
