"""Holes cut into held-out files: what the model is asked to fill. Pure functions.

The cuts are those of training (``model.objectives``), drawn with another purpose, so that training
and evaluation differ in the files alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from treespan.model.fim_format import FimRenderer, crop_context
from treespan.model.objectives import Objective
from treespan.model.span_source import Parsers, Span, SpanSource
from treespan.model.spans import fim_span
from treespan.model.structured_spans import sfim_span
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
    source = SpanSource(data, file.language, Parsers())
    for objective in ("fim", "sfim"):
        span = _draw(file.file_id, source, objective, seed, max_middle_bytes)
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
    file_id: str, source: SpanSource, objective: Objective, seed: int, max_middle_bytes: int
) -> Span | None:
    rng = generator(seed, "hole", objective, file_id)
    for _ in range(_DRAWS):
        if objective == "fim":
            span = _short_fim(source, rng, max_middle_bytes)
        else:
            span = sfim_span(source, 0, len(source.data), rng)
        if span is not None and 0 < span.length <= max_middle_bytes:
            return span
    return None


def _short_fim(source: SpanSource, rng: Random, max_middle_bytes: int) -> Span | None:
    """Two uniform characters within a window: over a whole file the hole would mostly be long."""
    width = min(len(source.data), max_middle_bytes)
    start = source.character_start(rng.randrange(len(source.data) - width + 1))
    return fim_span(source, start, source.character_start(start + width), rng)
