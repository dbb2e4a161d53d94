"""The recipe: every step's settings in one typed value."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from treespan.jobs.curate.config import CurateConfig
from treespan.jobs.decontaminate.config import DecontaminateConfig
from treespan.jobs.evaluate.config import EvaluateConfig
from treespan.jobs.graph.config import GraphConfig
from treespan.jobs.ingest.config import IngestConfig
from treespan.jobs.pack.config import PackConfig
from treespan.jobs.report.config import ReportConfig
from treespan.jobs.sample.config import SampleConfig
from treespan.jobs.tokenize.config import TokenizeConfig
from treespan.jobs.train.config import TrainConfig
from treespan.platform.config import Config, build
from treespan.platform.errors import UserError
from treespan.platform.ray_session import RayConfig
from treespan.platform.recipe import read_recipe

LastStep = Literal[
    "ingest",
    "curate",
    "decontaminate",
    "graph",
    "sample",
    "tokenize",
    "pack",
    "train",
    "evaluate",
]
"""The steps that a run can end with, in the order in which they run."""


class Recipe(Config):
    """A whole run, from sources to a report. Each section configures the step of its name."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    """Names the run in the store."""
    seed: int = 0
    """The seed of every section that does not set its own."""
    last_step: LastStep = "evaluate"
    """Where the run ends, but for its report, which always follows. ``decontaminate`` makes a corpus
    and no model. Of steps that the recipe has no use for, the one before counts."""
    ray: RayConfig = RayConfig()
    """Where the work runs; changes no output."""
    ingest: IngestConfig
    """Where files come from."""
    curate: CurateConfig = CurateConfig()
    """Which files are kept."""
    decontaminate: DecontaminateConfig = DecontaminateConfig()
    """Which benchmarks must not be in them."""
    graph: GraphConfig = GraphConfig()
    """What is parsed for the graph of each repository."""
    sample: SampleConfig = SampleConfig()
    """In which order files are read, and which are held out."""
    tokenize: TokenizeConfig = TokenizeConfig()
    """The tokenizer."""
    pack: PackConfig = PackConfig()
    """Rows and objectives."""
    train: TrainConfig = TrainConfig()
    """The model and its training."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Scores on held-out repositories."""
    report: ReportConfig = ReportConfig()
    """The page that shows it all."""

    @model_validator(mode="after")
    def _rows_fit_the_model(self) -> Recipe:
        # Found here, and not by the training step after hours of packing.
        if self.train.start_from is not None:
            return self  # the weights that are started from know their positions
        try:
            shape = self.train.shape(self.tokenize.vocab_size)
        except UserError as error:
            raise ValueError(str(error)) from None
        for name, tokens in (
            ("pack.seq_len", self.pack.seq_len),
            ("evaluate.context_tokens", self.evaluate.context_tokens or 0),
        ):
            if tokens > shape.max_positions:
                raise ValueError(
                    f"{name} {tokens} exceeds the {shape.max_positions} positions of the model; "
                    "lower it, or set train.model.max_positions"
                )
        return self

    @model_validator(mode="after")
    def _orders_are_known_to_the_format(self) -> Recipe:
        fim_format, spm = self.tokenize.fim_format, self.pack.objectives.spm
        for order, share, only in (("spm", spm, 0), ("psm", 1 - spm, 1)):
            if share > 0 and order not in fim_format.orders:
                raise ValueError(
                    f"pack.objectives.spm {spm:g} asks for the order {order}, which "
                    f"tokenize.fim_format {fim_format.name!r} lacks; set pack.objectives.spm to {only}"
                )
        return self


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe at ``path`` with ``overrides`` (``a.b=value``) on top.

    Raises ``UserError`` for what is unknown, missing or impossible.
    """
    values = read_recipe(path, overrides)
    if "seed" in values:
        for section, field in Recipe.model_fields.items():
            given = values.get(section, {})
            if _has_seed(field.annotation) and isinstance(given, dict):
                values[section] = {"seed": values["seed"], **given}
    return build(Recipe, values, where=str(path))


def _has_seed(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Config) and "seed" in kind.model_fields
