"""What steps have to say for themselves: one line when they end, and the tables of ``show``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treespan.platform.run_record import Run
from treespan.platform.steps import Output

_WIDTH = 9


def summary_line(output: Output, *, found: bool) -> str:
    """``pack      12.3 s  1,204 rows ...``; for a step that was there already it says so."""
    manifest = output.manifest
    name = str(manifest["step"])
    took = "done before" if found else f"{manifest['seconds']:.1f} s"
    return f"[bold]{name:<{_WIDTH}}[/] {took:>12}  {describe(name, output.counts, manifest)}"


def describe(step: str, counts: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """What came out of a step, in a few words."""
    measures = manifest["measures"]
    match step:
        case "ingest":
            return (
                f"{counts['files']:,} files of {counts['repositories']:,} repositories, "
                f"{_megabytes(counts['bytes'])}"
            )
        case "curate":
            return (
                f"{counts['output_files']:,} of {counts['input_files']:,} files kept, "
                f"{_megabytes(counts['output_bytes'])}"
            )
        case "decontaminate":
            items = sum(found["items"] for found in counts["benchmarks"].values())
            return (
                f"{counts['hit_files']:,} of {counts['input_files']:,} files hold one of "
                f"{items:,} benchmark items, {counts['output_files']:,} kept"
            )
        case "graph":
            edges, imports = counts["edges"], counts["imports"].values()
            inside = sum(found["in_repository"] for found in imports)
            resolved = sum(found["resolved"] for found in imports)
            return (
                f"{edges['import']:,} import edges, {edges['use']:,} use edges; "
                f"{resolved:,} of {inside:,} imports of the repositories themselves resolved"
            )
        case "sample":
            return (
                f"{counts['documents']:,} documents; {counts['heldout_repositories']} of "
                f"{counts['repositories']} repositories held out"
            )
        case "tokenize":
            return f"{counts['vocab_size']:,} tokens, {counts['bytes_per_token']:.2f} bytes each"
        case "pack":
            heldout = counts.get("heldout_rows")
            return (
                f"{counts['rows']:,} rows of {counts['seq_len']:,} tokens, "
                f"{counts['padding_share']:.1%} padding"
                + (f"; {heldout:,} rows held out" if heldout else "")
            )
        case "train":
            return _training(counts, measures)
        case "evaluate":
            return f"{counts['spans']} spans of {counts['files']} held-out files scored"
        case "report":
            return f"report.html, {counts['bytes'] / 1e3:,.0f} kB"
        case _:
            return ", ".join(f"{name} {value}" for name, value in counts.items())


def _training(counts: Mapping[str, Any], measures: Mapping[str, Any]) -> str:
    """Both ends of the loss, and the speed; earlier versions measured less."""
    said = f"loss {in_nats(counts['first_loss'])} -> {in_nats(counts['final_loss'])}"
    if validation := counts.get("validation"):
        said += f" (held-out {in_nats(validation['last'])})"
    said += f" in {counts['steps']} steps, {measures['tokens_per_second'] or 0:,.0f} tokens/s"
    if measures.get("mfu"):
        said += f", {measures['mfu']:.0%} MFU"
    return said


def in_nats(loss: float | None) -> str:
    """A loss; one that was not finite has no number."""
    return "not finite" if loss is None else f"{loss:.2f}"


def as_json(run: Run) -> dict[str, Any]:
    """The whole run for machines: per step its status, seconds, counts, measures and digest."""
    steps: dict[str, Any] = {}
    for name, output in run.steps.items():
        manifest = output.manifest
        steps[name] = {
            "status": "done",
            "seconds": manifest["seconds"],
            "folder": output.folder,
            "digest": output.digest,
            "inputs": manifest["inputs"],
            "input": _input_counts(name, run),
            "output": manifest["counts"],
            "measures": manifest["measures"],
        }
        for shown in ("funnel", "funnel_bytes", "edits", "scores"):
            if shown in manifest["counts"]:
                steps[name][shown] = manifest["counts"][shown]
        if name == "train":
            steps[name] |= {
                "steps": manifest["counts"]["steps"],
                "tokens": manifest["counts"]["target_tokens"],
                "tokens_per_second": manifest["measures"]["tokens_per_second"],
                "final_loss": manifest["counts"]["final_loss"],
                "validation": manifest["counts"].get("validation"),
                "mfu": manifest["measures"].get("mfu"),
            }
    steps |= {name: {"status": "pending"} for name in run.pending}
    return {"run": run.name, "updated_at": run.updated_at, "steps": steps}


def _input_counts(name: str, run: Run) -> dict[str, Any]:
    """Plain numbers that the steps it reads have put out."""
    return {
        source: {
            key: value
            for key, value in run.steps[source].counts.items()
            if isinstance(value, int | float)
        }
        for source in run.steps[name].manifest["inputs"]
        if source in run.steps
    }


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
