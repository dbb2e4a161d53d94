"""Every file of a run cut into structured holes, each held against an independent reference.

Three things are checked, and one exception is a failure: the tokens of a file's segments give back
the file, byte for byte; every ``sfim`` hole starts inside a maskable node and ends at a line end,
by ``reference``, which shares no code with what cuts; every ``sfim-aligned`` hole is such a node.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.pack.corpus import PackedRun
from benchmarks.pack.reference import is_aligned_span, is_sfim_span, maskable_reference
from rich.console import Console
from rich.progress import track
from rich.table import Table

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.segments import FileText, SegmentBuilder
from treespan.model.grammars import has_grammar, load_parser
from treespan.model.objectives import OBJECTIVES, ObjectiveMix

SEQ_LEN = 2_048
"""Rows to check with: short enough that many files are cut into pieces."""

_SHOWN = 20
"""Exceptions that are told in full."""


@dataclass
class Findings:
    """What was checked, by language or objective, and what was wrong."""

    files: Counter[str] = field(default_factory=Counter)
    holes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def check_file(file: FileText, builder: SegmentBuilder, found: Findings) -> None:
    """Build ``file`` and check its segments."""
    data = file.text.encode()
    segments = builder.build(file)
    found.files[file.language] += 1
    name = f"{file.path} ({file.file_id})"
    header = builder.header_ids(file)
    if "".join(builder.renderer.restore(s.tokens, header) for s in segments) != file.text:
        found.wrong.append(f"{name}: the tokens do not give back the file")
    structured = [s for s in segments if s.objective in ("sfim", "sfim-aligned") and s.span]
    if not structured:
        return
    nodes = maskable_reference(load_parser(file.language).parse(data).root_node)
    for segment in structured:
        span = segment.span
        assert span is not None
        found.holes[segment.objective] += 1
        fine = (
            is_sfim_span(data, nodes, span.start, span.end)
            if segment.objective == "sfim"
            else is_aligned_span(nodes, span.start, span.end)
        )
        if not fine:
            where = f"{span.start} to {span.end}, {span.node_type}"
            found.wrong.append(f"{name}: a wrong {segment.objective} hole, {where}")


def check_run(run: PackedRun, console: Console) -> None:
    """Check all files of ``run`` and print what was found; exit with 1 if anything is wrong."""
    structured = ObjectiveMix(ntp=0.0, fim=0.0, sfim=0.5, sfim_aligned=0.5)
    shares = dict.fromkeys((name.replace("-", "_") for name in OBJECTIVES), 1 / len(OBJECTIVES))
    builders = [
        SegmentBuilder(PackConfig(seq_len=SEQ_LEN, objectives=mix), run.renderer(), 0)
        for mix in (structured, ObjectiveMix(**shares))
    ]
    found = Findings()
    seen: set[str] = set()
    documents = run.documents()
    for files in track(
        documents, "checking", total=run.sample.counts["documents"], console=console
    ):
        for file in files:
            if file.file_id in seen:
                continue
            seen.add(file.file_id)
            for builder in builders:
                check_file(file, builder, found)
    table = Table(title="checked", title_justify="left")
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_row("files", f"{len(seen):,}")
    parsed = [language for language in found.files if has_grammar(language)]
    table.add_row("languages, of these with a grammar", f"{len(found.files)}, {len(parsed)}")
    for objective, count in sorted(found.holes.items()):
        table.add_row(f"holes of {objective}", f"{count:,}")
    table.add_row("exceptions", f"{len(found.wrong):,}")
    console.print(table)
    for line in found.wrong[:_SHOWN]:
        console.print(line, markup=False)
    if found.wrong:
        sys.exit(1)
