"""Training steps of ours beside those of Hugging Face's Llama and of litgpt, on the CPU.

    python -m benchmarks.train [--sizes 25m,135m] [--rows 2] [--seq-len 1024] [--documents 6]
                               [--rounds 3] [--threads 1] [--compile]

All are in one process and step in turn, after one step that is not counted; the table has medians
and, of the ratios to ours, taken round by round, the least and the most. The peak is a bfloat16
product of two matrices of 1,024 x 1,024, the best of ten, again in each round. Operations are
counted as ``ModelConfig.flops_per_token`` does, attention as if it were not causal. litgpt takes
part where it is installed: ``pip install litgpt``, in an environment of its own if it disagrees
with the pins of this one, on PYTHONPATH. ``--compile``, which wants a C++ compiler and some minutes,
adds ours and litgpt's compiled by torch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping

import torch
from benchmarks.train.contestants import Step, hugging_face, litgpt, ours, random_rows
from benchmarks.train.engine import join_one_process_group
from rich.console import Console
from rich.table import Table

from treespan.model.config import ModelConfig, preset

OURS = "Treespan, DeepSpeed"
SIZES: Mapping[str, tuple[str, int]] = {
    "4m": ("nano", 4_096),
    "25m": ("tiny", 8_192),
    "135m": ("small", 32_768),
}
"""Preset and vocabulary by the name of a size."""


def contestants(config: ModelConfig, asked: argparse.Namespace) -> dict[str, Step]:
    """All that can run here, by name."""
    batch = random_rows(asked.rows, asked.seq_len, asked.documents, config.vocab_size)
    plain, packed = ours(config, batch)
    steps = {
        OURS: plain,
        f"Treespan, {asked.documents} documents a row": packed,
        "transformers, DeepSpeed": hugging_face(config, batch),
    }
    if asked.compile:
        steps["Treespan, compiled blocks"], _ = ours(config, batch, compiled=True)
    try:
        steps["litgpt, bf16-mixed"] = litgpt(config, batch, mixed=True)
        steps["litgpt, bf16-true"] = litgpt(config, batch)
        if asked.compile:
            steps["litgpt, bf16-true, compiled"] = litgpt(config, batch, compiled=True)
    except ImportError as missing:
        print(f"litgpt is left out: {missing}")
    return steps


def seconds_of(step: Step) -> float:
    """Wall seconds of one step."""
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def matmul_peak() -> float:
    """Floating point operations a second of a bfloat16 product, on the threads that torch has."""
    a, b = (torch.randn(1024, 1024).bfloat16() for _ in range(2))
    return float(2 * 1024**3 / min(seconds_of(lambda: float((a @ b)[0, 0])) for _ in range(10)))


def compare(config: ModelConfig, name: str, asked: argparse.Namespace, console: Console) -> None:
    """The table of one size."""
    steps = contestants(config, asked)
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {contestant: [] for contestant in steps}
    peaks = []
    for _ in range(asked.rounds):
        peaks.append(matmul_peak())
        for contestant, step in steps.items():
            seconds[contestant].append(seconds_of(step))
    tokens = asked.rows * asked.seq_len
    flops = config.flops_per_token(asked.seq_len) * tokens
    title = (
        f"{name}: {config.num_parameters / 1e6:.0f} M parameters, {asked.rows} rows of "
        f"{asked.seq_len} a step, {asked.threads} threads, {asked.rounds} rounds, "
        f"peak {statistics.median(peaks) / 1e9:.0f} GFLOP/s"
    )
    table = Table(title=title, title_justify="left")
    for heading in ("", "tokens/s", "share of peak", "ours / this", "least", "most"):
        table.add_column(heading, justify="right" if heading else "left")
    for contestant, found in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(found, seconds[OURS], strict=True)]
        shares = [flops / took / peak for took, peak in zip(found, peaks, strict=True)]
        table.add_row(
            contestant,
            f"{tokens / statistics.median(found):.0f}",
            f"{statistics.median(shares):.0%}",
            *(f"{ratio:.2f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios))),
        )
    console.print(table)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.train", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="25m,135m", help=f"some of {', '.join(SIZES)}")
    parser.add_argument("--rows", type=int, default=2, help="in a step")
    parser.add_argument("--seq-len", type=int, default=1024, help="tokens of a row")
    parser.add_argument("--documents", type=int, default=6, help="in a packed row")
    parser.add_argument("--rounds", type=int, default=3, help="counted steps of each")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--compile", action="store_true", help="compiled contestants too")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    join_one_process_group()
    console = Console(highlight=False, width=110)
    for name in asked.sizes.split(","):
        shape, vocab_size = SIZES[name]
        compare(preset(shape, vocab_size=vocab_size), name, asked, console)


if __name__ == "__main__":
    main()
