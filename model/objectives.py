"""Training objectives: their names, their shares, and which span of a text each turns into a hole.

``ntp`` has no hole. ``fim`` cuts at two uniform characters (Bavarian et al. 2022). ``sfim`` is the
paper's structured variant and ``sfim-aligned`` its reading that masks whole nodes; ``sfim-kind``
masks what the aiXcoder evaluation asks for. The others are controls for an ablation, which share some
properties of ``sfim`` and never look where the tree's nodes lie.

| objective | length of the hole | ends at a line end | starts inside a node |
|---|---|---|---|
| ``fim`` | two uniform characters | no | |
| ``fim-line`` | whole lines | yes | |
| ``fim-len`` | that of an ``sfim`` hole of the same text | no | |
| ``fim-lineend`` | as near to that as line ends allow | yes | |
| ``sfim`` | from inside a node to a line end | yes | yes |
"""

from __future__ import annotations

from random import Random
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator

from treespan.model import spans, structured_spans
from treespan.model.kinds import KINDS
from treespan.model.nodes import NodeWeight
from treespan.model.span_source import Span, SpanSource
from treespan.platform.config import Config

Objective = Literal[
    "ntp", "fim", "sfim", "sfim-aligned", "sfim-kind", "fim-line", "fim-len", "fim-lineend"
]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


class ObjectiveMix(Config):
    """Shares of the objectives among the pieces of files; they sum to 1."""

    ntp: float = Field(default=0.3, ge=0, le=1)
    """Next-token prediction. The paper's README says 30 %."""
    fim: float = Field(default=0.2, ge=0, le=1)
    """Fill-in-the-middle between random characters. Ours: without it a model learns badly to end
    after a hole in the middle of a line."""
    sfim: float = Field(default=0.5, ge=0, le=1)
    """Structured fill-in-the-middle: from inside a syntax node to a line end."""
    sfim_aligned: float = Field(default=0.0, ge=0, le=1)
    """Structured fill-in-the-middle of whole nodes."""
    sfim_kind: float = Field(default=0.0, ge=0, le=1)
    """What the aiXcoder evaluation asks for, drawn by ``kinds``."""
    fim_line: float = Field(default=0.0, ge=0, le=1)
    """A control: whole lines."""
    fim_len: float = Field(default=0.0, ge=0, le=1)
    """A control: holes as long as those of ``sfim``, anywhere."""
    fim_lineend: float = Field(default=0.0, ge=0, le=1)
    """A control: as ``fim_len``, and the hole ends at a line end."""
    spm: float = Field(default=0.5, ge=0, le=1)
    """Share of suffix-prefix-middle order among the masked; the rest is prefix-suffix-middle."""
    node_weight: NodeWeight = "sqrt"
    """How a structured hole draws its node: uniformly, or by the logarithm, the square root or the
    whole of its length. Ours: most nodes are tiny expressions, and a uniform draw gives a median
    hole of some 16 characters."""
    node_types: dict[str, float] = Field(default={})
    """Factors on the weight of nodes by the grammar's name of their type, such as
    ``{if_statement: 2}``; 0 never draws it."""
    kinds: dict[str, float] = Field(default=dict.fromkeys(KINDS, 1.0))
    """Weights of the thirteen kinds that ``sfim_kind`` draws from; one that is not named counts 0.
    Of the kinds that a text lacks none is drawn."""

    @field_validator("node_types", "kinds")
    @classmethod
    def _not_negative(cls, weights: dict[str, float]) -> dict[str, float]:
        for name, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {name} must be 0 or more, not {weight:g}")
        return weights

    @model_validator(mode="after")
    def _is_possible(self) -> ObjectiveMix:
        total = sum(self.share(name) for name in OBJECTIVES)
        if abs(total - 1) > 1e-6:
            named = " + ".join(_field(name) for name in OBJECTIVES if self.share(name))
            raise ValueError(f"the shares must sum to 1, but {named} is {total:g}")
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"there is no kind {unknown[0]!r}; the kinds are {', '.join(KINDS)}")
        if self.sfim_kind and not sum(self.kinds.values()):
            raise ValueError(
                "sfim_kind has a share, so at least one of kinds needs a weight above 0"
            )
        return self

    def share(self, objective: Objective) -> float:
        """The share of ``objective``."""
        share: float = getattr(self, _field(objective))
        return share

    def draw(self, u: float) -> Objective:
        """The objective for ``u``, uniform in [0, 1)."""
        last: Objective = "ntp"
        for objective in OBJECTIVES:
            share = self.share(objective)
            if share and u < share:
                return objective
            u -= share
            last = objective if share else last
        return last  # the shares sum to 1 but for rounding

    def span(
        self, objective: Objective, source: SpanSource, low: int, high: int, rng: Random
    ) -> Span | None:
        """The hole of ``objective`` within bytes [low, high) of ``source``; None if there is none.

        ``SpanSource.lack`` then says why.
        """
        window = (source, low, high, rng)
        by_nodes = (self.node_weight, self.node_types)
        match objective:
            case "ntp":
                return None
            case "fim":
                return spans.fim_span(*window)
            case "fim-line":
                return spans.line_span(*window)
            case "sfim":
                return structured_spans.sfim_span(*window, *by_nodes)
            case "sfim-aligned":
                return structured_spans.aligned_span(*window, *by_nodes)
            case "sfim-kind":
                return structured_spans.kind_span(*window, self.kinds)
        model = structured_spans.sfim_span(*window, *by_nodes)
        if model is None:
            return None
        if objective == "fim-len":
            return spans.moved_span(*window, model.length)
        return spans.line_end_span(*window, model.length)


def _field(objective: Objective) -> str:
    return objective.replace("-", "_")
