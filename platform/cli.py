"""The command line. Layers above this one are named by string and loaded when a command needs
them, so that ``--help`` is instant and imports keep pointing one way.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from treespan.platform.errors import UserError, find_user_error
from treespan.platform.progress import Progress

DEFAULT_STORE = "out"
"""Where artifacts go if neither ``--store`` nor ``TREESPAN_STORE`` says otherwise."""

app = typer.Typer(
    help="Turn repositories into a code-completion model and serve it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=False,
)

RecipePath = Annotated[Path, typer.Argument(help="A recipe: a YAML file, see recipes/.")]
StoreUri = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="TREESPAN_STORE",
        help="Folder or URI (s3://bucket/prefix) that holds all artifacts.",
    ),
]
StoreArgument = Annotated[
    str,
    typer.Argument(
        metavar="[STORE]", envvar="TREESPAN_STORE", help="Folder or URI of an earlier run."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting: --set train.steps=50."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RunName = Annotated[
    str | None, typer.Option("--run", help="Name of the recipe; the newest run by default.")
]


@app.command()
def run(
    recipe: RecipePath,
    store: StoreUri = DEFAULT_STORE,
    step: Annotated[
        str | None, typer.Option(help="Stop after this step; steps before it run if they must.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: every step that is not published yet, in order.

    A second run finds all steps done. A run that was killed goes on where it stopped.
    """
    pipeline = import_module("treespan.jobs.pipeline")
    typed = pipeline.load_recipe(recipe, overrides or [])
    target = _store(store)
    with Progress() as progress:
        outcome = pipeline.run_recipe(typed, target, progress, until=step)
    if as_json:
        _print_json({**_run_json(target, typed.name), "ran": outcome.ran})
    elif not outcome.ran:
        progress.say("Nothing to do: every step was published before.")


@app.command()
def show(
    store: StoreArgument = DEFAULT_STORE, name: RunName = None, as_json: AsJson = False
) -> None:
    """Show a run: steps, counts, the funnel, losses and scores."""
    target = _store(store)
    if as_json:
        _print_json(_run_json(target, name))
        return
    run_record = import_module("treespan.platform.run_record")
    tables = import_module("treespan.platform.tables")
    console = Console()
    for table in tables.run_tables(run_record.read_run(target, name), console.width):
        console.print(table)


@app.command()
def why(
    file: Annotated[str, typer.Argument(metavar="REPO/PATH", help="A file of the corpus.")],
    store: StoreUri = DEFAULT_STORE,
    name: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Tell a file's whole story: where it came from, each decision, where it ended up."""
    story = import_module("treespan.platform.why").story_of(_store(store), file, name)
    if as_json:
        _print_json({"file": file, "story": story})
        return
    console = Console()
    for event in story:
        console.print(f"[bold]{event['step']:<9}[/] {escape(event['what'])}", highlight=False)


@app.command()
def dropped(
    store: StoreArgument = DEFAULT_STORE,
    rule: Annotated[str | None, typer.Option(help="Only what this rule dropped.")] = None,
    step: Annotated[str | None, typer.Option(help="Only what this step dropped.")] = None,
    language: Annotated[str | None, typer.Option(help="Only this language.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many files per rule.")] = 3,
    seed: Annotated[int, typer.Option(help="Another number draws other files.")] = 0,
    name: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Show some of the files that each rule dropped, to judge the rule by."""
    module = import_module("treespan.platform.dropped")
    steps = import_module("treespan.platform.run_record").read_run(_store(store), name).steps
    found = module.sample_dropped(steps, module.Asked(rule, step, language, top, seed))
    if as_json:
        _print_json([module.as_json(group) for group in found])
        return
    console = Console()
    for line in module.lines(found):
        console.print(line, highlight=False, soft_wrap=True)


@app.command()
def similar(
    file: Annotated[Path, typer.Argument(help="A file of code, of the corpus or not.")],
    store: StoreUri = DEFAULT_STORE,
    top: Annotated[int, typer.Option(min=1, help="How many files to show.")] = 10,
    name: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Show the curated files that are most similar to a file, by exact Jaccard similarity."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"{file} cannot be read ({error.strerror}).", "Give the path of a file."
        ) from None
    search = import_module("treespan.jobs.curate.similar")
    matches = search.find_similar(_store(store), text, top, name)
    if as_json:
        _print_json({"file": str(file), "matches": [vars(match) for match in matches]})
        return
    for match in matches:
        typer.echo(f"{match.similarity:.4f}  {match.repo}/{match.path}")
    if not matches:
        typer.echo("Nothing in the corpus has five words in a row in common with it.")


@app.command()
def dedup(
    table: Annotated[
        Path, typer.Argument(help="Parquet or JSON lines: id (or repo, path), content.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for kept, dropped and pairs, as Parquet.")],
    threshold: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="Least Jaccard similarity of a duplicate.")
    ] = 0.85,
    threads: Annotated[int, typer.Option(min=1, help="Threads that hash texts.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Find exact and near duplicates in a table of texts, every pair verified; without Ray."""
    module = import_module("treespan.jobs.curate.dedup_table")
    config = import_module("treespan.jobs.curate.config").NearDedupConfig(threshold=threshold)
    counts = module.dedup_file(table, out, config, threads)
    if as_json:
        _print_json(counts)
    else:
        typer.echo(module.told(counts))


@app.command()
def inspect(
    shard: Annotated[
        str,
        typer.Argument(
            metavar="[SHARD]",
            envvar="TREESPAN_STORE",
            help="A shard (a part-*.arrow of a packed step), or a store with a packed run.",
        ),
    ] = DEFAULT_STORE,
    row: Annotated[int, typer.Option(min=0, help="Which row, of the shard or the epoch.")] = 0,
    epoch: Annotated[int, typer.Option(min=0, help="Which epoch, where a store is given.")] = 0,
    view: Annotated[
        Literal["model", "file"], typer.Option(help="In the order of the tokens or of the file.")
    ] = "model",
    tokens: Annotated[bool, typer.Option("--tokens", help="Show where tokens end.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with both views here.")] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Folder of tokenizer.json and fim_format.json, for a shard by itself."),
    ] = None,
    name: RunName = None,
    as_json: AsJson = False,
) -> None:
    """Show a packed row: its documents, objectives and holes, token by token if asked."""
    where = import_module("treespan.jobs.pack.inspect.find_row")
    found = where.find_row(where.Asked(shard, row, epoch, name, tokenizer))
    if html is not None:
        page = import_module("treespan.jobs.pack.inspect.web_page").row_page(found)
        try:
            html.write_text(page, encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"{html} cannot be written ({error.strerror}).", "Give another place for the page."
            ) from None
    if as_json:
        records = import_module("treespan.jobs.pack.inspect.records")
        _print_json(records.as_json(found, view, tokens=tokens))
    elif html is not None:
        typer.echo(f"Row {row} is in {html}.")
    else:
        console = Console()
        terminal = import_module("treespan.jobs.pack.inspect.terminal")
        for part in terminal.lines(found, view, tokens=tokens):
            console.print(part, highlight=False, soft_wrap=True)


@app.command()
def graph(
    repository: Annotated[
        str, typer.Argument(metavar="REPO", help="A folder, or a repository of a run.")
    ],
    store: StoreUri = DEFAULT_STORE,
    name: RunName = None,
    top: Annotated[int, typer.Option(min=1, help="How many files and ties to list.")] = 10,
    svg: Annotated[Path | None, typer.Option(help="Write a drawing here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with drawing and lists.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how the files of a repository are tied to each other, and draw it."""
    command = import_module("treespan.jobs.graph.show.command")
    command.show_graph(command.Asked(repository, store, name, top, svg, html, as_json))


@app.command()
def plan(
    recipe: RecipePath,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, help="Devices, each with a worker; the recipe's number by default."),
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(
            help="Kind of device: h100, h100-pcie, h200, b200, a100-40g, a100-80g, l40s, a10g, "
            "rtx4090. Without it, this machine's CPU, whose speed is measured."
        ),
    ] = None,
    price: Annotated[
        float | None, typer.Option(min=0, help="US dollars for a device and hour.")
    ] = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Plan training before renting anything: memory, time, utilisation, cost, the best settings.

    Reads `train`, `pack.seq_len` and `tokenize.vocab_size` of the recipe; nothing is run, and no
    model is made. Shows the recipe's own setting beside the one to suggest, as YAML to paste.
    Ends with code 1 where nothing fits. Formulas, assumptions and limits are in docs/planning.md.

    `treespan plan recipes/quickstart.yaml`

    `treespan plan paper.yaml --gpu a100-40g --gpus 128 --price 1.1`
    """
    command = import_module("treespan.jobs.train.plan.command")
    asked = command.Asked(recipe, overrides or [], gpus, gpu, price, as_json)
    if not command.show_plan(asked, Console()):
        raise typer.Exit(1)


@app.command()
def complete(
    checkpoint: Annotated[str, typer.Option(help="Folder of a checkpoint, or a store with a run.")],
    prefix: Annotated[str, typer.Option(help="Code before the cursor; - reads it from stdin.")],
    suffix: Annotated[str | None, typer.Option(help="Code after the cursor.")] = None,
    path: Annotated[str | None, typer.Option(help="Name of the file, for its language.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest completion.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Complete code at a cursor with a checkpoint, without a server."""
    endpoint = import_module("treespan.serve.endpoint")
    text = sys.stdin.read() if prefix == "-" else prefix
    completion = endpoint.complete(
        _checkpoint(checkpoint), text, suffix, path=path, max_tokens=max_tokens
    )
    if as_json:
        _print_json({"completion": completion})
    else:
        typer.echo(completion)


@app.command()
def serve(
    checkpoint: Annotated[str, typer.Option(help="Folder of a checkpoint, or a store with a run.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the endpoint.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a checkpoint behind an OpenAI-compatible endpoint until Ctrl-C."""
    endpoint = import_module("treespan.serve.endpoint")
    endpoint.serve_until_interrupted(_checkpoint(checkpoint), host=host, port=port)


@app.command()
def export(
    checkpoint: Annotated[
        str, typer.Argument(help="Folder or URI of a checkpoint, or a store with a run.")
    ],
    form: Annotated[
        Literal["hf", "gguf"],
        typer.Option("--format", help="A folder for transformers, or a file for llama.cpp."),
    ],
    out: Annotated[str | None, typer.Option(help="Folder (hf) or file (gguf) to write.")] = None,
    dtype: Annotated[
        Literal["bf16", "f16", "f32", "q8_0"] | None,
        typer.Option(help="Type of the weights; by default as they are. q8_0: gguf only."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint for other programs: transformers, vLLM, llama.cpp, Ollama."""
    module = import_module("treespan.model.export")
    place = _checkpoint(checkpoint)
    target = module.local_out(out) if out else module.default_out(place, form, dtype)
    with import_module("treespan.serve.fetch").local_checkpoint(place) as folder:
        done = module.export(folder, target, form, dtype, force=force)
    if as_json:
        _print_json(vars(done))
    else:
        for line in done.lines():
            typer.echo(line)


@app.command()
def quickstart(
    recipe: RecipePath = Path("recipes/quickstart.yaml"), store: StoreUri = DEFAULT_STORE
) -> None:
    """Run a recipe, then serve its model and send it one real request over HTTP."""
    import_module("treespan.platform.quickstart").run(recipe, _store(store))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check what works on this machine and what does not."""
    checks = import_module("treespan.platform.doctor").examine()
    if as_json:
        _print_json([vars(check) for check in checks])
    else:
        console = Console()
        for check in checks:
            mark = "[green]ok[/]     " if check.ok else "[yellow]missing[/]"
            console.print(f"{mark} [bold]{check.name:<14}[/] {check.found}", highlight=False)
            if check.fix:
                console.print(f"{'':23}{check.fix}", style="dim", highlight=False)
    if not all(check.ok for check in checks if check.required):
        raise typer.Exit(1)


def _store(uri: str) -> Any:
    return import_module("treespan.platform.store").Store(uri)


def _checkpoint(where: str) -> str:
    """A checkpoint's place; a store stands for the checkpoint of its newest trained run."""
    store = _store(where)
    if not store.exists("runs"):
        return where
    runs = import_module("treespan.platform.run_record")
    trained = runs.read_run(store, with_step="train").steps["train"]
    return str(store.child(f"{trained.folder}/checkpoint"))


def _run_json(store: Any, name: str | None) -> dict[str, Any]:
    run_record = import_module("treespan.platform.run_record")
    found: dict[str, Any] = import_module("treespan.platform.summary").as_json(
        run_record.read_run(store, name)
    )
    return found


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def main() -> None:
    """The ``treespan`` command."""
    _main_of(app)


def _main_of(command: typer.Typer) -> None:
    """Run a command line; errors that a person can mend end with one line and exit code 2."""
    try:
        command()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has gone; what is left to print interests nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        mended = find_user_error(error)
        if mended is None:
            raise
        print(f"treespan: {mended}", file=sys.stderr)
        sys.exit(2)


def run_step_command(step: str) -> None:
    """``python -m treespan.jobs.STEP --recipe R [--store S] [--set k=v]``."""

    def command(
        recipe: Annotated[Path, typer.Option(help="A recipe: a YAML file, see recipes/.")],
        store: StoreUri = DEFAULT_STORE,
        overrides: Overrides = None,
        as_json: AsJson = False,
    ) -> None:
        run(recipe, store, step, overrides, as_json)

    command.__doc__ = f"Run a recipe up to and including the step `{step}`."
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command()(command)
    _main_of(single)


if __name__ == "__main__":
    main()
