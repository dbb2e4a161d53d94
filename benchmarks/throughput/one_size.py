"""One size of the corpus, in a process of its own: time, memory and counts.

Ray's start and that of its workers do not count: one repository goes through all steps first. MB
are 10^6 bytes of text ingested.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.throughput.process_tree import Sampler

from treespan.jobs.curate import step as curate
from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.decontaminate import step as decontaminate
from treespan.jobs.decontaminate.config import BenchmarkSource, DecontaminateConfig
from treespan.jobs.ingest import step as ingest
from treespan.jobs.ingest.config import DirectorySource, IngestConfig
from treespan.platform.progress import Progress
from treespan.platform.ray_session import RayConfig, ray_session
from treespan.platform.steps import Output, execute
from treespan.platform.store import Store

CPUS = 2


def run_steps(
    sources: Sequence[Path],
    partitions: int,
    store: Store,
    curating: CurateConfig,
    benchmarks: str | None,
) -> dict[str, Output]:
    """The outputs of the steps on repositories in the folders ``sources``."""
    config = IngestConfig(
        sources=tuple(DirectorySource(path=str(path), each_subfolder=True) for path in sources),
        partitions=partitions,
    )
    steps = [ingest.make_step(config), curate.make_step(curating)]
    if benchmarks:
        source = BenchmarkSource(path=benchmarks)
        steps.append(decontaminate.make_step(DecontaminateConfig(benchmarks=(source,))))
    outputs: dict[str, Output] = {}
    for step in steps:
        outputs[step.name] = execute(step, store, outputs, Progress(quiet=True))
    return outputs


def measure(plan: Mapping[str, Any]) -> dict[str, Any]:
    """One size, in this process: time, memory and counts."""
    copies = [Path(path) for path in plan["copies"]]
    curating = CurateConfig.model_validate(plan["curate"])
    started = time.monotonic()
    with ray_session(RayConfig(num_cpus=CPUS)):
        warm = Store(f"{plan['store']}/warm")
        run_steps([Path(plan["warm"])], CPUS, warm, curating, plan["benchmarks"])
        ready = time.monotonic()
        with Sampler() as sampler:
            outputs = run_steps(
                copies,
                plan["partitions"],
                Store(f"{plan['store']}/run"),
                curating,
                plan["benchmarks"],
            )
        seconds = time.monotonic() - ready
    counts = outputs["ingest"].counts
    kept = outputs["curate"].counts
    funnel = {rule: sum(by.values()) for rule, by in kept["funnel"].items()}
    megabytes = counts["bytes"] / 1e6
    return {
        "size": plan["size"],
        "files": counts["files"],
        "mb": megabytes,
        "partitions": plan["partitions"],
        "startup_s": ready - started,
        "wall_s": seconds,
        "steps_s": {name: output.manifest["seconds"] for name, output in outputs.items()},
        "worker_cpu_s": sampler.worker_cpu_s,
        "total_cpu_s": sampler.total_cpu_s,
        "mb_per_core_s": megabytes / sampler.worker_cpu_s,
        "worker_peak_mb": sampler.worker_peak_mb,
        "worker_own_mb": sampler.worker_own_mb,
        "kept_share": kept["output_bytes"] / kept["input_bytes"],
        "funnel": funnel,
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
