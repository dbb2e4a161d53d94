"""The stages, each run in a process of its own with a limit of its own.

python -m benchmarks.gpu.stages STAGE SCALE FILE [CASE]     one stage, in this process
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.figures import Figure, Recorder, read
from benchmarks.gpu.scales import Scale, gpu, toy

SCALES = {"gpu": gpu, "toy": toy}


@dataclass(frozen=True)
class Stage:
    """Something to measure."""

    name: str
    limit: float
    """Seconds after which it is stopped; all limits together are under ten minutes."""
    case: str = ""
    """Which case of training."""

    @property
    def title(self) -> str:
        """As the table calls it."""
        return self.case or self.name


def stages(scale: Scale) -> list[Stage]:
    """All of them, in order; what matters most comes first."""
    limit = 180 // len(scale.training)
    return [
        Stage("environment", 30),
        Stage("correctness", 90),
        *(Stage("training", limit, training.name) for training in scale.training),
        Stage("attention", 80),
        Stage("checkpoint", 60),
        Stage("offload", 150),
    ]


def run(stage: Stage, scale: str, folder: Path) -> list[Figure]:
    """What the stage finds, ending with why it ended early if it did."""
    file = folder / f"{stage.title}.jsonl".replace(" ", "-")
    log = folder / f"{stage.title}.log".replace(" ", "-")
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.stages", stage.name, scale, str(file)]
    with log.open("wb") as output:
        # A session of its own, so that compilers that it started end with it.
        process = subprocess.Popen(
            [*command, stage.case], stdout=output, stderr=output, start_new_session=True
        )
        try:
            code, end = process.wait(stage.limit), ""
        except subprocess.TimeoutExpired:
            code, end = -1, f"stopped after {stage.limit:g} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    figures = read(file)
    if code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = end or (lines[-1] if lines else f"exit code {code}")
        figures.append(Figure(stage.title, "failed", why[:200], target="no failure", passed=False))
    return figures


def main(arguments: Sequence[str]) -> None:
    """Run one stage here."""
    name, scale_name, file, case = arguments
    scale = SCALES[scale_name]()
    found = Recorder(case or name, Path(file))
    # Imported here: a stage that cannot be imported must not take others with it.
    if name == "environment":
        from benchmarks.gpu import environment

        environment.measure(scale, found)
    elif name == "correctness":
        from benchmarks.gpu import correctness

        correctness.measure(scale, found)
    elif name == "attention":
        from benchmarks.gpu import attention_speed

        attention_speed.measure(scale, found)
    elif name == "training":
        from benchmarks.gpu import training_speed

        training_speed.measure(scale, found, case)
    elif name == "checkpoint":
        from benchmarks.gpu import checkpoint_io

        checkpoint_io.measure(scale, found)
    else:
        from benchmarks.gpu import offload

        offload.measure(scale, found)


if __name__ == "__main__":
    main(sys.argv[1:])
