"""What the figures were measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import torch
from benchmarks.gpu.figures import Recorder
from benchmarks.gpu.scales import Scale


def measure(scale: Scale, found: Recorder) -> None:
    """Versions, the device, and its memory."""
    found.show("python", platform.python_version())
    for package in ("torch", "triton", "deepspeed", "transformers"):
        try:
            found.show(package, importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            found.show(package, "none")
    found.show("CUDA of torch", torch.version.cuda or "none")
    if scale.device.type == "cuda":
        facts = torch.cuda.get_device_properties(scale.device)
        found.show("device", facts.name)
        found.show("memory of the device", facts.total_memory / 1e9, "GB")
        found.show("compute capability", f"{facts.major}.{facts.minor}")
    else:
        found.show("device", f"CPU, {torch.get_num_threads()} threads")
    found.show("memory of the host", host_bytes() / 1e9, "GB")


def host_bytes() -> float:
    """Memory of this machine."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
