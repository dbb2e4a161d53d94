"""The quickstart: a recipe from sources to scores, then its model behind HTTP, asked once."""

from __future__ import annotations

import json
import socket
import textwrap
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.ray_session import ray_session
from treespan.platform.run_record import Run, read_run
from treespan.platform.store import Store
from treespan.platform.summary import in_nats
from treespan.platform.tables import funnel_table, score_table

PREFIX = "def read_lines(path):\n    with open(path) as "
SUFFIX = "\n        return f.read().splitlines()\n"
_SHOWN_COMPLETIONS = 3
_SHOWN_CHARACTERS = 120


def run(recipe_path: Path, store: Store) -> None:
    """Run the recipe, show what came out, serve the model and send it one request."""
    pipeline = import_module("treespan.jobs.pipeline")
    recipe = pipeline.load_recipe(recipe_path)
    if "train" not in [step.name for step in pipeline.steps_of(recipe)]:
        raise UserError(
            f"{recipe_path} ends with {recipe.last_step}, so there would be no model to serve.",
            "Use `treespan run`, or a recipe that trains.",
        )
    console = Console()
    with Progress() as progress:
        outcome = pipeline.run_recipe(recipe, store, progress)
        if not outcome.ran:
            progress.say("Every step was published before; nothing was done again.")
    found = read_run(store, recipe.name)
    _show_results(console, found)
    checkpoint = store.child(f"{found.steps['train'].folder}/checkpoint")
    with ray_session(recipe.ray) as ray_ends:
        _ask_once(console, checkpoint, ray_ends)
    _show_next(console, store, found)


def _show_results(console: Console, found: Run) -> None:
    console.print()
    console.print(
        funnel_table("What curation did, in files", found.steps["curate"].counts["funnel"])
    )
    train = found.steps["train"]
    console.print(f"\n{loss_in_words(train.counts)}\n", highlight=False, soft_wrap=True)
    if "evaluate" in found.steps:
        counts = found.steps["evaluate"].counts
        console.print(score_table(counts["scores"]))
        console.print(f"\n{scores_in_words(counts['scores'])}", highlight=False, soft_wrap=True)
        for example in counts["completions"][:_SHOWN_COMPLETIONS]:
            _show_completion(console, example)
    report = found.steps["report"]
    console.print(
        f"\nReport with plots: {report.store.path(report.folder)}/report.html", soft_wrap=True
    )


def loss_in_words(counts: Mapping[str, Any]) -> str:
    """How the training loss went, and that of held-out rows."""
    first, last = in_nats(counts["first_loss"]), in_nats(counts["final_loss"])
    by_objective = ", ".join(
        f"{k} {in_nats(v)}" for k, v in counts["final_loss_by_objective"].items()
    )
    said = (
        f"Training took the loss from {first} to {last} nats per token in "
        f"{counts['steps']} steps over {counts['target_tokens']:,} tokens ({by_objective})."
    )
    if validation := counts.get("validation"):
        said += (
            f" On rows of held-out repositories it went from {in_nats(validation['first'])} to "
            f"{in_nats(validation['last'])}."
        )
    return said


def scores_in_words(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """How the trained model compares with the two baselines, worst objective first."""
    said = []
    for objective, models in scores.items():
        trained = models["trained"]["bits_per_byte"]
        least = min(models[name]["bits_per_byte"] for name in ("untrained", "unigram"))
        said.append((1 - trained / least, objective))
    parts = ", ".join(f"{share:.0%} for {objective}" for share, objective in sorted(said))
    return f"Below the better baseline, in bits per byte of held-out code: {parts}."


def _show_completion(console: Console, example: Mapping[str, str]) -> None:
    before = example["prefix_tail"].splitlines()[-2:]
    console.print(f"\n[bold]{escape(example['path'])}[/]", highlight=False)
    for label, text in (("truth", example["truth"]), ("model", example["answer"])):
        cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
        shown = textwrap.indent("\n".join(before) + f"⟦{cut}⟧", "    ")
        console.print(f"{label}:", style="dim")
        console.print(shown, markup=False, highlight=False, soft_wrap=True)


def _ask_once(console: Console, checkpoint: str, ray_ends: bool) -> None:
    import httpx

    app = import_module("treespan.serve.app")
    endpoint = import_module("treespan.serve.endpoint")
    url = endpoint.start(app.ServeConfig(checkpoint=checkpoint), port=_free_port())
    try:
        request = {
            "model": "treespan",
            "prompt": PREFIX,
            "suffix": SUFFIX,
            "path": "text/lines.py",
            "max_tokens": 16,
        }
        console.print(f"\nPOST {url}/v1/completions", highlight=False)
        console.print(json.dumps(request), markup=False, highlight=False, soft_wrap=True)
        answer = httpx.post(f"{url}/v1/completions", json=request, timeout=60, trust_env=False)
        console.print(f"-> {answer.status_code}", highlight=False)
        console.print(answer.text, markup=False, highlight=False, soft_wrap=True)
        answer.raise_for_status()
    finally:
        endpoint.stop(ray_ends=ray_ends)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _show_next(console: Console, store: Store, found: Run) -> None:
    where = Path(store.uri)
    shown = where.relative_to(Path.cwd()) if where.is_relative_to(Path.cwd()) else store.uri
    console.print(
        "\nWhat to try next:\n"
        f"  .venv/bin/treespan show {shown}\n"
        f"  .venv/bin/treespan why {_a_dropped_file(found)} --store {shown}\n"
        f"  .venv/bin/treespan serve --checkpoint {shown}\n",
        highlight=False,
        soft_wrap=True,
    )


def _a_dropped_file(found: Run) -> str:
    """A file with a story: the first near duplicate, or else the first that was dropped at all."""
    curate = found.steps["curate"]
    named = None
    for part in curate.files("ledger"):
        rows = curate.store.read_table(part, ["repo", "path", "rule"]).to_pylist()
        for row in rows:
            if row["rule"] == "near-duplicate":
                return f"{row['repo']}/{row['path']}"
            named = named or f"{row['repo']}/{row['path']}"
    return named or "REPO/PATH"
