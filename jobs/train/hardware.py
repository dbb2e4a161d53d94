"""What devices can do: a table of accelerators, and the peak of the processor at hand.

The peak is that of dense bf16 products with float32 sums, the one against which utilisation (MFU)
is stated. The table, its sources and its assumptions are in ``hardware.yaml``.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import Field

from treespan.platform.config import Config, build
from treespan.platform.errors import UserError

if TYPE_CHECKING:
    import torch

_TABLE = Path(__file__).with_name("hardware.yaml")
_PEAK_SIZES = (512, 1024)
_PEAK_SECONDS = 0.2


class Accelerator(Config):
    """One kind of device, with the links that it usually has. GB is 10^9 bytes."""

    names: tuple[str, ...]
    """What the driver calls it, in part; the longest that fits counts."""
    peak_tflops: float = Field(gt=0)
    """Dense bf16, 10^12 operations per second."""
    sustained_share: float = Field(gt=0, le=1)
    """The part of the peak that large products of matrices keep in training."""
    attention_share: float = Field(gt=0, le=1)
    """The same of causal attention, forward and backward."""
    memory_gb: float = Field(gt=0)
    """Of one device."""
    memory_gb_s: float = Field(gt=0)
    """Bandwidth of that memory."""
    devices_per_node: int = Field(ge=1)
    """Devices that the fast link joins."""
    intra_node_gb_s: float = Field(gt=0)
    """Of a device to others of its node, one direction."""
    inter_node_gb_s: float = Field(gt=0)
    """A device's share of the links of its node to others, one direction."""
    host_gb_s: float = Field(gt=0)
    """Between a device and the memory of its host, one direction."""
    source: str
    """Where the figures are from."""
    price_per_hour: float = Field(gt=0)
    """US dollars for a device; an assumption."""

    @property
    def peak_flops(self) -> float:
        """Dense bf16 operations per second."""
        return self.peak_tflops * 1e12

    @property
    def memory_bytes(self) -> float:
        """Of one device."""
        return self.memory_gb * 1e9


@cache
def accelerators() -> Mapping[str, Accelerator]:
    """The table, by the names that ``--gpu`` takes."""
    rows = yaml.safe_load(_TABLE.read_text(encoding="utf-8"))
    return {
        name: build(Accelerator, row, where=f"{_TABLE.name}: {name}") for name, row in rows.items()
    }


def accelerator(name: str) -> Accelerator:
    """The row ``name``, in any case. Raises ``UserError`` for one that is not in the table."""
    table = accelerators()
    row = table.get(name.casefold())
    if row is None:
        raise UserError(f"there is no accelerator {name!r}.", f"Choose one of {', '.join(table)}.")
    return row


def find_accelerator(device_name: str) -> Accelerator | None:
    """The row of what a driver calls ``device_name``, as in ``NVIDIA H100 80GB HBM3``."""
    fitting = [
        (len(name), row)
        for row in accelerators().values()
        for name in row.names
        if name.casefold() in device_name.casefold()
    ]
    return max(fitting, key=lambda found: found[0])[1] if fitting else None


def peak_flops(device: torch.device) -> float | None:
    """Dense bf16 operations per second of ``device``.

    Of a GPU from the table, ``None`` where it is not there. Of a CPU it is measured with the number
    of threads as set: the best of a few products of square matrices, in some 0.2 s. The peak of a
    processor is not known from its name, since what else runs on it and its clock decide.
    """
    import torch

    if device.type == "cuda":
        row = find_accelerator(torch.cuda.get_device_name(device))
        return row.peak_flops if row else None
    return _measured_peak() if device.type == "cpu" else None


def _measured_peak() -> float:
    import torch

    best = 0.0
    for size in _PEAK_SIZES:
        a, b = (torch.randn(size, size).bfloat16() for _ in range(2))
        until = time.perf_counter() + _PEAK_SECONDS / len(_PEAK_SIZES)
        now = time.perf_counter()
        while now < until:
            torch.mm(a, b)
            started, now = now, time.perf_counter()
            best = max(best, 2 * size**3 / (now - started))
    return best
