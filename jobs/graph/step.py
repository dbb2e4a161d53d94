"""The graph step on Ray Data: partition by partition, each with whole repositories."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

from treespan.jobs.graph.build import build_graph
from treespan.jobs.graph.config import GraphConfig
from treespan.jobs.graph.read import repositories_of, source_files
from treespan.platform.partitions import Receipt, files_of, map_partitions
from treespan.platform.schemas import EDGES, SYMBOLS, batches, part_name
from treespan.platform.steps import Context, Result, Step
from treespan.platform.store import Store

_COUNTED = ("repositories", "files", "symbols", "unparsed", "unresolvable")
_READ = ["file_id", "repo", "path", "language", "content"]
_ROWS_PER_BATCH = 4096  # rows are small


def make_step(config: GraphConfig, files_from: str = "curate") -> Step:
    """``edges/`` and ``symbols/`` of the files of ``files_from``, partition for partition."""
    return Step(
        name="graph",
        version=1,
        params=config.to_dict(),
        inputs=(files_from,),
        run=partial(_run, config, files_from),
    )


def _run(config: GraphConfig, files_from: str, context: Context) -> Result:
    store, folder = context.store, context.folder
    parts = context.inputs[files_from].files("files")

    def graph(partition: int) -> Receipt:
        return _graph_partition(store, folder, parts[partition], partition, config)

    receipts = map_partitions(context, "graph", graph, len(parts))
    totals: Counter[str] = Counter()
    edges: Counter[str] = Counter()
    imports: dict[str, Counter[str]] = {}
    for receipt in receipts:
        totals.update(receipt.counts["totals"])
        edges.update(receipt.counts["edges"])
        for language, counted in receipt.counts["imports"].items():
            imports.setdefault(language, Counter()).update(counted)
    counts: dict[str, Any] = {
        **{name: totals[name] for name in _COUNTED},
        "edges": {kind: edges[kind] for kind in ("import", "use")},
        "imports": {language: dict(imports[language]) for language in sorted(imports)},
    }
    return Result(files_of(receipts), counts)


def _graph_partition(
    store: Store, folder: str, part: str, partition: int, config: GraphConfig
) -> Receipt:
    edges: list[dict[str, Any]] = []
    symbols: list[dict[str, Any]] = []
    totals: Counter[str] = Counter()
    imports: dict[str, Counter[str]] = {}
    for repo, rows in repositories_of(store.read_table(part, _READ)):
        graph = build_graph(source_files(rows), config)
        ids = dict(zip(rows["path"].to_pylist(), rows["file_id"].to_pylist(), strict=True))
        edges += sorted(
            (
                {
                    "repo": repo,
                    "source_id": ids[edge.source],
                    "target_id": ids[edge.target],
                    "kind": edge.kind,
                    "name": edge.name,
                    "weight": edge.weight,
                    "count": edge.count,
                }
                for edge in graph.edges
            ),
            key=lambda row: (row["source_id"], row["target_id"], row["kind"], row["name"]),
        )
        symbols += sorted(
            (
                {
                    "repo": repo,
                    "file_id": ids[symbol.path],
                    "name": symbol.name,
                    "kind": symbol.kind,
                    "start_line": symbol.line,
                }
                for symbol in graph.symbols
            ),
            key=lambda row: (row["file_id"], row["start_line"], row["name"], row["kind"]),
        )
        totals.update(
            repositories=1,
            files=len(graph.paths),
            unparsed=graph.unparsed,
            unresolvable=graph.unresolvable,
        )
        for language, counted in graph.counts.items():
            imports.setdefault(language, Counter()).update(vars(counted))
    name = part_name(partition)
    counts = {
        "totals": {**totals, "symbols": len(symbols)},
        "edges": Counter(row["kind"] for row in edges),
        "imports": {language: dict(counted) for language, counted in imports.items()},
    }
    files = [
        store.write_table(path, schema, batches(schema, rows, rows_per_batch=_ROWS_PER_BATCH))
        for path, schema, rows in (
            (f"{folder}/edges/{name}", EDGES, edges),
            (f"{folder}/symbols/{name}", SYMBOLS, symbols),
        )
    ]
    return Receipt(files, counts)
