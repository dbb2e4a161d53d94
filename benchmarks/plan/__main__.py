"""What ``treespan plan`` predicts for this machine, beside what real steps take and need.

    python -m benchmarks.plan [--quick] [--out FOLDER]

For each case the kernels of the plan are measured, then the trainer's own engine runs a few steps in
processes of their own. One worker is compared in seconds of its processor, which other programs on
the machine disturb least; several workers, which wait for each other, in seconds of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from treespan.jobs.train.config import TrainConfig
from treespan.jobs.train.plan.estimate import Estimate, estimate
from treespan.jobs.train.plan.measured_cpu import MeasuredCpu
from treespan.jobs.train.plan.setting import job_of, setting_of


@dataclass(frozen=True)
class Case:
    """One run to predict and to measure."""

    preset: str
    vocab_size: int
    seq_len: int
    micro_batch: int = 1
    passes: int = 1
    workers: int = 1
    zero_stage: int = 2
    checkpoint_activations: bool = False
    steps: int = 4

    @property
    def train(self) -> dict[str, Any]:
        """The recipe's ``train``."""
        return {
            "preset": self.preset,
            "steps": self.steps,
            "global_batch": self.micro_batch * self.passes * self.workers,
            "execution": {
                "num_workers": self.workers,
                "micro_batch": self.micro_batch,
                "zero_stage": self.zero_stage,
                "checkpoint_activations": self.checkpoint_activations,
            },
        }


CASES = (
    Case("nano", 4096, 512, micro_batch=2, steps=6),
    Case("nano", 4096, 256, passes=2, steps=6),
    Case("nano", 4096, 2048, checkpoint_activations=True),
    Case("nano", 4096, 512, workers=2, steps=6),
    Case("tiny", 8192, 512, micro_batch=2, zero_stage=1),
    Case("tiny", 8192, 1024, passes=2),
    Case("tiny", 8192, 512, workers=2),
    Case("small", 32768, 512),
)


def predict(case: Case) -> Estimate:
    """The plan's estimate."""
    train = TrainConfig.model_validate(case.train)
    device = MeasuredCpu(threads=1, workers=case.workers)
    return estimate(
        job_of(train, case.vocab_size, case.seq_len), setting_of(train.execution), device
    )


def measure(case: Case) -> dict[str, float]:
    """What the trainer's engine takes, on rank 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = {
        "train": case.train,
        "vocab_size": case.vocab_size,
        "seq_len": case.seq_len,
        "steps": case.steps,
    }
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.plan.one_run", json.dumps(asked)],
            env={
                **os.environ,
                **meeting,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(case.workers),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(case.workers)
    ]
    said = [process.communicate()[0] for process in processes]
    measured: dict[str, float] = json.loads(said[0].strip().splitlines()[-1])
    return measured


def compare(case: Case) -> dict[str, Any]:
    """Predicted and measured, and their ratios."""
    predicted, measured = predict(case), measure(case)
    seconds = measured["cpu_s" if case.workers == 1 else "wall_s"]
    return {
        "case": asdict(case),
        "predicted_s": predicted.time.total,
        "predicted_parts_s": predicted.time.parts,
        "measured": measured,
        "time_ratio": predicted.time.total / seconds,
        "predicted_bytes": predicted.memory_bytes,
        "memory_ratio": predicted.memory_bytes / measured["peak_bytes"],
    }


def show(results: Sequence[dict[str, Any]], console: Console) -> None:
    """The table."""
    table = Table(title="a step on this CPU, one thread a worker", title_justify="left")
    table.add_column("model", no_wrap=True)
    headings = ("workers", "ZeRO", "rows", "passes", "tokens", "recompute")
    for heading in (*headings, "s", "measured", "ratio", "GB", "measured", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        case, measured = result["case"], result["measured"]
        seconds = measured["cpu_s" if case["workers"] == 1 else "wall_s"]
        table.add_row(
            case["preset"],
            *(str(case[key]) for key in ("workers", "zero_stage", "micro_batch", "passes")),
            str(case["seq_len"]),
            "yes" if case["checkpoint_activations"] else "no",
            f"{result['predicted_s']:.3f}",
            f"{seconds:.3f}",
            f"{result['time_ratio']:.2f}",
            f"{result['predicted_bytes'] / 1e9:.2f}",
            f"{measured['peak_bytes'] / 1e9:.2f}",
            f"{result['memory_ratio']:.2f}",
        )
    console.print(table)


def main(given: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="only the first two cases")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), help="for the results")
    arguments = parser.parse_args(given)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = []
    for case in CASES[:2] if arguments.quick else CASES:
        results.append(compare(case))
        (arguments.out / "plan.json").write_text(json.dumps(results, indent=1))
    show(results, Console(width=120))


if __name__ == "__main__":
    main()
