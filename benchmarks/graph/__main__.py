"""``python -m benchmarks.graph PLACE ...``: each place is a store with a run, or a folder that is
one repository. Prints a table by language: imports, those of the repository itself, those resolved,
their share; and megabytes of text per processor second. Builds every graph in this one process.
With ``--grow MB`` it prints instead how long the graph of one repository takes as it grows, beside
bare parsing.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from benchmarks.graph.corpus import repositories, some_of
from benchmarks.graph.picture import share_picture
from benchmarks.graph.speed import as_markdown, measure_speed

from treespan.jobs.graph.build import ImportCounts, build_graph
from treespan.jobs.graph.read import total_bytes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="+", metavar="PLACE")
    parser.add_argument("--unresolved", type=int, default=0, help="print so many per language")
    parser.add_argument("--language", help="of those, only this language")
    parser.add_argument("--only", default="", help="only repositories whose names hold this")
    parser.add_argument("--picture", type=Path, help="draw the shares here, as SVG")
    parser.add_argument("--grow", type=float, metavar="MB", help="largest size to grow to")
    asked = parser.parse_args(arguments)
    if asked.grow:
        every = chain.from_iterable(repositories(place) for place in asked.places)
        print(as_markdown(list(measure_speed(some_of(every, int(asked.grow * 1e6))))))
        return
    total: dict[str, ImportCounts] = {}
    repos: Counter[str] = Counter()
    missing: dict[str, list[str]] = {}
    size, seconds, edges, symbols, files_seen = 0, 0.0, Counter[str](), 0, 0
    for place in asked.places:
        for repo, files in repositories(place):
            if asked.only not in repo:
                continue
            size += total_bytes(files)
            files_seen += len(files)
            started = time.process_time()
            graph = build_graph(files)
            seconds += time.process_time() - started
            edges.update(edge.kind for edge in graph.edges)
            symbols += len(graph.symbols)
            languages = {file.path: file.language for file in files}
            for path, name in graph.unresolved:
                missing.setdefault(languages[path], []).append(f"{repo} {path}: {name}")
            for language, found in graph.counts.items():
                counts = total.setdefault(language, ImportCounts())
                counts.imports += found.imports
                counts.in_repository += found.in_repository
                counts.resolved += found.resolved
                repos[language] += found.in_repository > 0
    print("| language | repositories | imports | in repository | resolved | share |")
    print("|---|---:|---:|---:|---:|---:|")
    for language, counts in sorted(total.items(), key=lambda item: -item[1].in_repository):
        share = counts.resolved / counts.in_repository if counts.in_repository else 1.0
        print(
            f"| {language} | {repos[language]} | {counts.imports:,} | {counts.in_repository:,} "
            f"| {counts.resolved:,} | {share:.4f} |"
        )
    print(
        f"\n{files_seen:,} files, {size / 1e6:.1f} MB, {symbols:,} symbols, "
        f"{edges['import']:,} import edges, {edges['use']:,} use edges, "
        f"{size / 1e6 / max(seconds, 1e-9):.1f} MB per processor second"
    )
    if asked.picture:
        asked.picture.write_text(share_picture(total), encoding="utf-8")
    for language, lines in sorted(missing.items()):
        if asked.unresolved and asked.language in (None, language):
            print(f"\n{language}: {len(lines)}")
            step = max(1, len(lines) // asked.unresolved)
            print(*(f"  {line}" for line in lines[::step]), sep="\n")


if __name__ == "__main__":
    main()
