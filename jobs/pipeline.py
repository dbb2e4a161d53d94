"""A recipe as a chain of steps, run one after the other: what ``treespan run`` does.

``python -m treespan.jobs.STEP --recipe R`` is the same with the chain cut after STEP, and so is a
submitted Ray job: steps that are published already are found, not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import get_args

from treespan.jobs.curate import step as curate
from treespan.jobs.decontaminate import step as decontaminate
from treespan.jobs.evaluate import step as evaluate
from treespan.jobs.graph import step as graph
from treespan.jobs.ingest import step as ingest
from treespan.jobs.pack import step as pack
from treespan.jobs.recipe import LastStep, Recipe, load_recipe
from treespan.jobs.report import step as report
from treespan.jobs.sample import step as sample
from treespan.jobs.tokenize import step as tokenize
from treespan.jobs.train import step as train
from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.ray_session import missing_cpus, ray_session
from treespan.platform.run_record import write_run
from treespan.platform.steps import Output, Step, execute, published
from treespan.platform.store import Store
from treespan.platform.summary import summary_line

STEP_NAMES: tuple[str, ...] = (*get_args(LastStep), "report")
"""In the order in which they run; a recipe may leave out some."""


@dataclass
class Outcome:
    """What a run found or made."""

    outputs: dict[str, Output] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    """Steps that had to run; the others were published already."""


def steps_of(recipe: Recipe) -> list[Step]:
    """The steps of ``recipe`` in order.

    Without benchmarks to look for there is no decontamination, without held-out repositories no
    evaluation, and nothing but the report after the recipe's ``last_step``.
    """
    steps = [ingest.make_step(recipe.ingest), curate.make_step(recipe.curate)]
    if recipe.decontaminate.benchmarks:
        steps.append(decontaminate.make_step(recipe.decontaminate))
    files_from = steps[-1].name
    steps += [
        graph.make_step(recipe.graph, files_from),
        sample.make_step(recipe.sample, files_from),
        tokenize.make_step(recipe.tokenize, files_from),
        pack.make_step(recipe.pack, files_from),
        train.make_step(recipe.train, recipe.pack.seq_len),
    ]
    if recipe.sample.heldout_share > 0:
        steps.append(evaluate.make_step(recipe.evaluate, files_from))
    end = STEP_NAMES.index(recipe.last_step)
    steps = [step for step in steps if STEP_NAMES.index(step.name) <= end]
    names = tuple(step.name for step in steps)
    return [*steps, report.make_step(recipe.report, names)]


def run_recipe(
    recipe: Recipe, store: Store, progress: Progress, *, until: str | None = None
) -> Outcome:
    """Run what is not published yet, up to and including the step ``until``."""
    store.check_writable()
    for corpus in recipe.curate.against:
        if corpus.run == recipe.name and Store(corpus.store).uri == store.uri:
            raise UserError(
                f"curate.against names this run itself, {recipe.name!r}.",
                "Give the recipe another name, or take the run out of curate.against.",
            )
    steps = steps_of(recipe)
    wanted = len(_up_to(steps, until))
    all_names = tuple(step.name for step in steps)
    for step in steps[:wanted]:
        step.check()
    outcome = Outcome()
    with ExitStack() as stack:
        ray_is_ours: bool | None = None
        for place, step in enumerate(steps):
            try:
                output = published(step, store, outcome.outputs)
            except UserError:
                if place >= wanted:
                    break  # not asked for, so what it lacks is nobody's concern
                raise
            found = output is not None
            if place >= wanted:
                # Not asked for; but what earlier runs made of the same inputs is part of the run.
                if output is None:
                    break
                outcome.outputs[step.name] = output
                continue
            if output is None:
                if step.needs_ray:
                    if ray_is_ours is None:
                        # Only now: a run that has nothing to do should not wait for a cluster.
                        ray_is_ours = stack.enter_context(ray_session(recipe.ray))
                    _check_cpus(step, ray_is_ours, progress)
                output = execute(step, store, outcome.outputs, progress)
                outcome.ran.append(step.name)
            outcome.outputs[step.name] = output
            if not found:
                write_run(store, recipe.name, outcome.outputs, all_names)
            progress.say(summary_line(output, found=found))
    write_run(store, recipe.name, outcome.outputs, all_names)
    return outcome


def _check_cpus(step: Step, ray_is_ours: bool, progress: Progress) -> None:
    """A cluster may grow, and its user is told what is waited for; our own Ray cannot."""
    lacking = missing_cpus(step.name, step.cpus)
    if lacking and ray_is_ours:
        fix = "Raise ray.num_cpus (it may exceed the real cores), or lower train.execution.num_workers."
        raise UserError(lacking, fix)
    if lacking:
        progress.say(f"Waiting for the cluster to grow: {lacking}")


def _up_to(steps: Sequence[Step], until: str | None) -> list[Step]:
    names = [step.name for step in steps]
    if until is None:
        return list(steps)
    if until not in names:
        raise UserError(f"this recipe has no step {until!r}.", f"Its steps: {', '.join(names)}.")
    return list(steps[: names.index(until) + 1])


def main(step: str) -> None:
    """The command line of ``python -m treespan.jobs.STEP``: that of ``treespan run --step STEP``."""
    from treespan.platform.cli import run_step_command

    run_step_command(step)


__all__ = ["STEP_NAMES", "Outcome", "load_recipe", "main", "run_recipe", "steps_of"]
