"""Holes cut into held-out files: what the model is asked to fill. Pure functions.

The cuts are those of training (``model.objectives``), drawn with another purpose, so that training
and evaluation differ in the files alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from treespan.model import objectives
from treespan.model.fim_format import FimRenderer, crop_context
from treespan.model.grammars import has_grammar, load_parser
from treespan.model.objectives import Objective, Span
from treespan.platform.draws import generator

_DRAWS = 8


@dataclass(frozen=True)
class Hole:
    """A sequence to score: tokens up to the middle, the middle, and the texts around it.

    For ``ntp`` the middle is the file's beginning, and the end mark is not scored.
    """

    file_id: str
    repo: str
    path: str
    language: str
    objective: Objective
    node_type: str
    prompt: list[int]
    middle: list[int]
    middle_text: str
    prefix_tail: str
    suffix_head: str


@dataclass(frozen=True)
class HeldoutFile:
    """A file of a held-out repository."""

    file_id: str
    repo: str
    path: str
    language: str
    text: str


def holes_of(
    file: HeldoutFile, renderer: FimRenderer, seed: int, context_tokens: int, max_middle_bytes: int
) -> Iterator[Hole]:
    """One hole of every kind that the file allows."""
    header = renderer.header_ids(file.path, file.language)
    data = file.text.encode()
    if len(header) > context_tokens // 4:
        header = []
    yield _beginning(file, renderer, header, context_tokens)
    for objective in ("fim", "sfim"):
        span = _draw(file, data, objective, seed, max_middle_bytes)
        if span is None:
            continue
        parts = (data[: span.start], data[span.start : span.end], data[span.end :])
        texts = [part.decode() for part in parts]
        prefix, middle, suffix = (renderer.tokenizer.encode(text) for text in texts)
        room = context_tokens - len(header) - len(middle) - renderer.fim_overhead
        if room < context_tokens // 4:
            continue
        prefix, suffix = crop_context(prefix, suffix, room)
        yield Hole(
            file_id=file.file_id,
            repo=file.repo,
            path=file.path,
            language=file.language,
            objective=objective,
            node_type=span.node_type,
            prompt=renderer.prompt(prefix, suffix, header, renderer.format.order),
            middle=middle,
            middle_text=texts[1],
            prefix_tail=texts[0][-400:],
            suffix_head=texts[2][:200],
        )


def _beginning(
    file: HeldoutFile, renderer: FimRenderer, header: list[int], context_tokens: int
) -> Hole:
    prompt = renderer.ntp([], header, complete=False).tokens
    code = renderer.tokenizer.encode(file.text)[: context_tokens - len(prompt)]
    if not prompt:
        # Without bos and header nothing predicts the first token.
        prompt, code = code[:1], code[1:]
    return Hole(
        file_id=file.file_id,
        repo=file.repo,
        path=file.path,
        language=file.language,
        objective="ntp",
        node_type="",
        prompt=prompt,
        middle=code,
        middle_text=renderer.tokenizer.decode(code),
        prefix_tail="",
        suffix_head="",
    )


def _draw(
    file: HeldoutFile, data: bytes, objective: Objective, seed: int, max_middle_bytes: int
) -> Span | None:
    rng = generator(seed, "hole", objective, file.file_id)
    nodes = None
    if objective == "sfim":
        if not has_grammar(file.language):
            return None
        nodes = objectives.maskable_nodes(data, load_parser(file.language))
    for _ in range(_DRAWS):
        if nodes is None:
            span = _short_fim(data, rng.randrange(2**63), max_middle_bytes)
        else:
            span = objectives.sfim_span(data, nodes, rng)
        if span is not None and 0 < span.end - span.start <= max_middle_bytes:
            return span
    return None


def _short_fim(data: bytes, draw: int, max_middle_bytes: int) -> Span | None:
    """Two uniform characters within a window: over a whole file the hole would mostly be long."""
    width = min(len(data), max_middle_bytes)
    start = objectives.character_start(data, draw % max(1, len(data) - width + 1))
    window = data[start : objectives.character_start(data, start + width)]
    span = objectives.fim_span(window, generator("window", draw))
    return None if span is None else Span(start + span.start, start + span.end)
