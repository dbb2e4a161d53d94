"""The report step: reads the manifests and small tables of a run and writes ``report.html``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from treespan.jobs.report.account import account_sections
from treespan.jobs.report.config import ReportConfig
from treespan.jobs.report.objectives import pack_sections
from treespan.jobs.report.page import completion, page, paragraph, section, table
from treespan.jobs.report.plots import score_plot
from treespan.jobs.report.sampling import sampling_sections
from treespan.jobs.report.training import speed_page, training_section
from treespan.platform.funnel import stages, total_files, whole_account
from treespan.platform.steps import Context, Output, Result, Step

PAGE = "report.html"
SPEED_PAGE = "speed.html"
"""How fast training was. It varies from run to run, and ``report.html`` does not."""


def make_step(config: ReportConfig, inputs: tuple[str, ...]) -> Step:
    """``report.html`` about the steps named in ``inputs``: a section for each that is there."""
    return Step(
        name="report",
        version=4,
        params=config.to_dict(),
        inputs=inputs,
        run=lambda context: _run(context, config),
        needs_ray=False,
    )


def _run(context: Context, config: ReportConfig) -> Result:
    inputs = context.inputs
    sections = account_sections(inputs)
    if "sample" in inputs:
        sections += sampling_sections(inputs["sample"].counts)
    if "pack" in inputs:
        sections += pack_sections(inputs["pack"])
    if "train" in inputs:
        sections.append(training_section(inputs["train"], SPEED_PAGE))
    if "evaluate" in inputs:
        sections += _scores(inputs["evaluate"].counts)
    html = page(config.title, _lead(inputs), sections)
    entry = context.store.write_bytes(f"{context.folder}/{PAGE}", html.encode())
    varying = []
    if "train" in inputs and (speed := speed_page(inputs["train"], config.title)):
        path = f"{context.folder}/{SPEED_PAGE}"
        varying.append(context.store.write_bytes(path, speed.encode()))
    return Result([entry], {"bytes": entry.bytes}, varying_files=varying)


def _lead(inputs: Mapping[str, Output]) -> str:
    kept, files = stages(inputs)[-1], total_files(whole_account(inputs))
    said = f"Of {files:,} files {kept.files:,} were kept, {kept.bytes / 1e6:,.1f} MB"
    if "train" not in inputs:
        return f"{said}."
    train = inputs["train"].counts
    return (
        f"{said}; they became a model of {train['parameters']:,} parameters in "
        f"{train['steps']:,} steps."
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
