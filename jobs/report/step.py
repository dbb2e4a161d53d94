"""The report step: reads the manifests and small tables of a run and writes ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from treespan.jobs.report.config import ReportConfig
from treespan.jobs.report.page import completion, page, paragraph, section, table
from treespan.jobs.report.plots import funnel_plot, loss_plot, score_plot
from treespan.jobs.train.shard_reader import OBJECTIVES
from treespan.platform.ledger import Funnel
from treespan.platform.steps import Context, Output, Result, Step

PAGE = "report.html"
FILTERS = ("ingest", "curate", "decontaminate")
"""Steps that drop files, in order; the last may be missing."""


def make_step(config: ReportConfig, inputs: tuple[str, ...]) -> Step:
    """``report.html`` about the steps named in ``inputs``."""
    return Step(
        name="report",
        version=1,
        params=config.to_dict(),
        inputs=inputs,
        run=lambda context: _run(context, config),
        needs_ray=False,
    )


def _run(context: Context, config: ReportConfig) -> Result:
    inputs = context.inputs
    filters = [inputs[name] for name in FILTERS if name in inputs]
    sections = [_funnel(filters), _rows(inputs), _training(inputs)]
    if "evaluate" in inputs:
        sections += _scores(inputs["evaluate"].counts)
    counts = inputs["train"].counts
    lead = (
        f"{filters[-1].counts['output_files']:,} curated files became a model of "
        f"{counts['parameters']:,} parameters in {counts['steps']:,} steps."
    )
    html = page(config.title, lead, sections)
    entry = context.store.write_bytes(f"{context.folder}/{PAGE}", html.encode())
    return Result([entry], {"bytes": entry.bytes})


def funnel_stages(filters: Sequence[Output]) -> list[tuple[str, int]]:
    """(rule, files left after it), from all files that were seen to those that the last kept."""
    funnels: list[Funnel] = [output.counts["funnel"] for output in filters]
    dropped = [
        (rule, sum(by.values()))
        for funnel in funnels
        for rule, by in funnel.items()
        if rule != "kept"
    ]
    left = filters[-1].counts["output_files"] + sum(count for _, count in dropped)
    stages = [("all files", left)]
    for rule, count in dropped:
        left -= count
        stages.append((f"after {rule}", left))
    return stages


def _funnel(filters: Sequence[Output]) -> str:
    funnel: Funnel = filters[-1].counts["funnel"]
    languages = sorted(funnel.get("kept", {}).items(), key=lambda item: -item[1])
    return section(
        "From files to a corpus",
        funnel_plot(funnel_stages(filters)),
        paragraph("Every file that was dropped has its reason in the ledger: treespan why."),
        table(("language", "files kept"), languages[:12]),
    )


def _rows(inputs: Mapping[str, Output]) -> str:
    sample, pack = inputs["sample"].counts, inputs["pack"].counts
    shares = [
        (name, pack["segments_by_objective"][name], tokens)
        for name, tokens in pack["tokens_by_objective"].items()
    ]
    nodes = list(pack["segments_by_node"].items())[:12]
    return section(
        "From a corpus to rows",
        paragraph(
            f"{pack['rows']:,} rows of {pack['seq_len']:,} tokens, {pack['padding_share']:.2%} "
            f"padding, {pack['bytes_per_token']:.2f} bytes of text per token. "
            f"{sample['heldout_repositories']} of {sample['repositories']} repositories were held "
            "out before."
        ),
        table(("objective", "segments", "tokens"), shares),
        paragraph(
            "Files by the strategy that placed them, and the syntax nodes masked most often:"
        ),
        table(("strategy", "files"), list(sample["files_by_strategy"].items())),
        table(("node", "segments"), nodes),
    )


def _training(inputs: Mapping[str, Output]) -> str:
    train = inputs["train"]
    losses = train.store.read_table(f"{train.folder}/losses.arrow")
    series = {name: losses[f"loss_{name}"].to_pylist() for name in OBJECTIVES}
    counts = train.counts
    return section(
        "Training",
        loss_plot(losses["step"].to_pylist(), series),
        paragraph(
            f"{counts['target_tokens']:,} target tokens in {counts['steps']:,} steps. Speeds vary "
            "from run to run and stand in the manifests: treespan show."
        ),
    )


def _scores(counts: Mapping[str, Any]) -> list[str]:
    scores = counts["scores"]
    rows = [
        (
            objective,
            model,
            found["holes"],
            found["bits_per_byte"],
            found["end_nats"],
            found.get("exact_match"),
        )
        for objective, models in scores.items()
        for model, found in models.items()
    ]
    return [
        section(
            "Scores on held-out repositories",
            score_plot(scores, "bits_per_byte", "bits per byte of the middle"),
            score_plot(scores, "end_nats", "nats of the end mark"),
            paragraph(
                "Lower is better. untrained: the same model before training; unigram: every token "
                "by its frequency."
            ),
            table(
                ("objective", "model", "holes", "bits/byte", "end mark, nats", "exact match"), rows
            ),
        ),
        section("Completions", *(completion(example) for example in counts["completions"])),
    ]
