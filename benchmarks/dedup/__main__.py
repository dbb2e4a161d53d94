"""Near deduplication side by side, on a corpus of real code with clones.

    python -m benchmarks.dedup [--megabytes N] [--tools a,b] [--python PATH]

Makes the corpus and its exact pairs, installs each tool into an environment of its own below
``--environments``, runs one after the other, each first on ten files (its start), then on all,
and scores what they hand back. Prints tables, and writes them as ``result.json`` and ``result.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from benchmarks.dedup.clone_corpus import write_corpus
from benchmarks.dedup.exact_pairs import SPLITS, exact_pairs
from benchmarks.dedup.measure import Usage, measure
from benchmarks.dedup.peers.exchange import FILES, read_ids
from benchmarks.dedup.scores import found_pairs, score, similar_pairs
from benchmarks.dedup.tables import markdown, show
from benchmarks.dedup.tools import TOOLS, NoInterpreterError, Tool, interpreter
from rich.console import Console

ROOT = Path(__file__).parents[2]
KNOWN_FROM = 0.7
"""Exact pairs are kept from this similarity on; the tools are held against those at the threshold."""


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=115.0, help="size of the corpus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=0.85)
    parser.add_argument("--tools", help="which, comma-separated; all if not given")
    parser.add_argument("--kernel", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--python", type=Path, help="a newer Python, for tools that want one")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--limit-s", type=float, default=1800.0, help="seconds for one run")
    parser.add_argument("--work", type=Path, default=ROOT / ".scratch/dedup")
    parser.add_argument("--environments", type=Path, default=ROOT / ".scratch/peers")
    options = parser.parse_args()
    names = options.tools.split(",") if options.tools else [tool.name for tool in TOOLS]
    unknown = set(names) - {tool.name for tool in TOOLS}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    console = Console()
    corpus = options.work.resolve() / f"corpus-{options.megabytes:g}-{options.seed}"
    result = {"threshold": options.threshold, "corpus": prepare(corpus, options, console)}
    rows = []
    for tool in TOOLS:
        if tool.name in names:
            console.print(f"{tool.name} ...")
            rows.append(run_tool(tool, corpus, options))
            note = rows[-1].get("problem", "")
            console.print(f"{tool.name}: {note or 'done'}")
    result["tools"] = rows
    if options.kernel:
        result["kernel"] = run_kernel(corpus, options)
    show(result, console)
    (corpus / "result.json").write_text(json.dumps(result, indent=1))
    (corpus / "result.md").write_text(markdown(result))
    console.print(f"{corpus}/result.json, {corpus}/result.md")


def prepare(corpus: Path, options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Make the corpus and its exact pairs unless they are there; say what they are."""
    if not (corpus / FILES).exists():
        console.print(f"a corpus of {options.megabytes:g} MB ...")
        write_corpus(corpus, options.megabytes, options.seed)
    similar = {}
    for words in SPLITS:
        pairs = corpus / f"pairs-{words}.parquet"
        if not pairs.exists():
            console.print(f"its exact pairs, words of {words} ...")
            pq.write_table(exact_pairs(corpus / FILES, KNOWN_FROM, words), pairs)
        similar[words] = similar_pairs(pairs, options.threshold)
    files = pq.read_table(corpus / FILES, columns=["content"])
    return {
        "files": len(files),
        "bytes": sum(len(text.as_py().encode()) for text in files["content"]),
        "clones": pq.read_metadata(corpus / "clones.parquet").num_rows,
        "pairs": pq.read_metadata(corpus / "pairs-bytes.parquet").num_rows,
        "similar_pairs": len(similar["bytes"]),
        "similar_pairs_only_by_str_words": len(similar["str"] - similar["bytes"]),
        "similar_pairs_only_by_byte_words": len(similar["bytes"] - similar["str"]),
    }


def environment_of(tool: Tool | None) -> dict[str, str]:
    """Environment variables: as here, with this repository to be imported."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    own = {"PYTHONPATH": path, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    return {**os.environ, **own, **(tool.variables if tool else {})}


def run_tool(tool: Tool, corpus: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run a tool on ten files and on all, and score it: a row, or what stands in the way."""
    row: dict[str, Any] = {"name": tool.name, "remark": tool.remark}
    try:
        python = interpreter(
            tool.requirements, tool.python, options.environments.resolve(), options.python
        )
    except NoInterpreterError as error:
        return {**row, "problem": str(error)}

    def run(module: str, tables: Path, name: str) -> tuple[Path, Usage]:
        out = corpus / "runs" / tool.name / name
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        log = out.parent / f"{name}.log"
        limits = ["--threshold", str(options.threshold), "--workers", str(options.workers)]
        command = [str(python), "-m", f"benchmarks.dedup.peers.{module}", str(tables), str(out)]
        usage = measure([*command, *limits], log, environment_of(tool), options.limit_s)
        return out, usage

    run(tool.module, corpus / "few", "first")  # compiles what is compiled once per machine
    _, start = run(tool.module, corpus / "few", "start")
    out, usage = run(tool.module, corpus, "all")
    if usage.code:
        return {**row, "problem": f"ended with {usage.code}, see {out}.log", **asdict(usage)}
    if tool.clusters is not None:
        told, code = run(tool.clusters, corpus, "clusters")
        if code.code == 0:
            shutil.copyfile(told / "clusters.parquet", out / "clusters.parquet")
    scores = score(
        read_ids(corpus / FILES),
        similar_pairs(corpus / "pairs-bytes.parquet", options.threshold),
        read_ids(out / "kept.parquet"),
        found_pairs(out),
    )
    return {**row, **asdict(usage), "start_cpu_s": start.cpu_s, **asdict(scores)}


def run_kernel(corpus: Path, options: argparse.Namespace) -> dict[str, Any]:
    """From text to signature on one core, in an environment with the other libraries."""
    python = interpreter("kernel", (3, 11), options.environments.resolve(), options.python)
    result = corpus / "kernel.json"
    command: Sequence[str] = [str(python), "-m", "benchmarks.dedup.kernel", str(corpus / FILES)]
    pairs = corpus / "pairs-bytes.parquet"
    usage = measure(
        [*command, str(pairs), str(result)],
        corpus / "kernel.log",
        environment_of(None),
        options.limit_s,
    )
    if usage.code:
        return {"problem": f"ended with {usage.code}, see {corpus}/kernel.log"}
    measured: dict[str, Any] = json.loads(result.read_text())
    return measured


if __name__ == "__main__":
    main()
