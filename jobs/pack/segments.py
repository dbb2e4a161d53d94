"""A file as training segments: objective drawn, span cut, tokens laid out. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.pieces import LongText
from treespan.model.fim_format import FimRenderer, Order
from treespan.model.objectives import Objective, ObjectiveMix
from treespan.model.span_source import Parsers, Span, SpanSource
from treespan.platform.draws import generator, uniform
from treespan.platform.errors import UserError

SEAM_TOKENS = 4
"""Left free where a hole is chosen in a piece of a long file: encoding prefix, middle and suffix
apart costs about this over encoding the whole. The suffix then takes what room there is."""

_MOST_LIKELY_FITS = 3
"""Code has more bytes to a token than this, so a shorter text is first tried as one that fits."""


@dataclass(frozen=True)
class FileText:
    """A file to be packed and the strategy that placed it."""

    file_id: str
    path: str
    language: str
    text: str
    strategy: str
    copy: int = 0
    """Of a file that is read several times per epoch, which time this is."""


@dataclass(frozen=True)
class Segment:
    """One piece of one file, laid out in tokens, with what the shard records of it."""

    file: FileText  # without its text
    tokens: NDArray[np.int32]  # [length]; sentinels included
    text_bytes: int
    objective: Objective
    order: Order | None = None
    span: Span | None = None  # in bytes of the file
    middle_start: int = -1  # in tokens of the segment
    middle_length: int = 0
    fallback: str = ""
    uniform: Span | None = None
    """Beside a hole by nodes, the one that a uniform draw of its node would have cut."""


class SegmentBuilder:
    """Turns files into segments; holds the renderer and the parsers of one worker."""

    def __init__(self, config: PackConfig, renderer: FimRenderer, epoch: int) -> None:
        self._config = config
        self.renderer = renderer
        self._epoch = epoch
        self._parsers = Parsers()
        self.seq_len = config.seq_len
        self.pad = renderer.pad
        self._uniform = config.objectives.model_copy(
            update={"node_weight": "uniform", "node_types": {}}
        )

    def header_ids(self, file: FileText) -> list[int]:
        """The header of all segments of ``file``; none where its path is so long that it would crowd
        out the code."""
        header = self.renderer.header_ids(file.path, file.language)
        return header if len(header) <= self.seq_len // 2 else []

    def build(self, file: FileText) -> list[Segment]:
        """The segments of ``file``, in order; each fits a row."""
        data = file.text.encode()
        source = SpanSource(
            data, file.language, self._parsers, max_parse_bytes=self._config.max_parse_bytes
        )
        # Segments wait for their row; the text need not.
        without_text = replace(file, text="")
        layout = _Layout(
            without_text, file.text, self.header_ids(file), self.renderer, self.seq_len
        )
        segments: list[Segment] = []
        at = 0
        while at < len(data) or not segments:
            key = (self._config.seed, self._epoch, file.file_id, file.copy, at)
            draw = _Draw(
                self._config.objectives, self._uniform, self.renderer.format.orders, source, key
            )
            segment = _next_segment(layout, draw, at)
            segments.append(segment)
            if at < len(data) and not segment.text_bytes:
                raise UserError(
                    f"rows of {self.seq_len} tokens are too short for {file.path}: one of its "
                    "characters does not fit.",
                    "Raise pack.seq_len.",
                )
            at += segment.text_bytes
        return segments


@dataclass(frozen=True)
class _Hole:
    """What was drawn for a piece, as far as its text allows it."""

    objective: Objective
    span: Span | None
    fallback: str
    uniform: Span | None = None


@dataclass(frozen=True)
class _Draw:
    """The random choices for the segment that begins at one place of a file."""

    mix: ObjectiveMix
    uniform: ObjectiveMix
    orders: tuple[Order, ...]
    source: SpanSource
    key: tuple[int | str, ...]

    @property
    def objective(self) -> Objective:
        return self.mix.draw(uniform("objective", *self.key))

    @property
    def order(self) -> Order:
        if len(self.orders) == 1:
            return self.orders[0]
        return "spm" if uniform("order", *self.key) < self.mix.spm else "psm"

    def hole(self, low: int, high: int) -> _Hole:
        """The hole within bytes [low, high); what cannot be cut is cut more simply."""
        objective, fallback = self.objective, ""
        rng = generator("span", *self.key)
        span = self.mix.span(objective, self.source, low, high, rng)
        if span is None and objective not in ("ntp", "fim"):
            fallback = self.source.lack(objective)
            objective = "fim"
            span = self.mix.span(objective, self.source, low, high, rng)
        if span is None and objective == "fim":
            return _Hole("ntp", None, fallback or "too-short")
        uniform = None
        if objective in ("sfim", "sfim-aligned"):
            again = generator("span", *self.key)
            uniform = self.uniform.span(objective, self.source, low, high, again)
        return _Hole(objective, span, fallback, uniform)


class _Layout:
    """A file and the room that a row has for it: from bytes to tokens to segments."""

    def __init__(
        self,
        file: FileText,
        text: str,
        header: list[int],
        renderer: FimRenderer,
        seq_len: int,
    ) -> None:
        self._file = file
        self._text = text
        self._renderer = renderer
        self._seq_len = seq_len
        self.data = text.encode()
        self._header = header
        self.ntp_room = seq_len - len(header) - renderer.ntp_overhead
        self.fim_room = seq_len - len(header) - renderer.fim_overhead

    @cached_property
    def long(self) -> LongText:
        """To cut pieces from; only for a file that does not fit a row."""
        return LongText(self._text, self.data, self._renderer.tokenizer, self._seq_len)

    def most_likely_fits(self, at: int) -> bool:
        """Whether it is worth to try what is left from ``at`` as a whole."""
        left: int = len(self.data) - at
        return left <= _MOST_LIKELY_FITS * self.ntp_room

    def encode(self, start: int, end: int) -> list[int]:
        """The tokens of bytes [start, end)."""
        return self._renderer.tokenizer.encode(self.data[start:end].decode())

    def plain(self, start: int, end: int, tokens: list[int], fallback: str) -> Segment:
        """Next-token prediction over bytes [start, end)."""
        complete = end == len(self.data)
        sequence = self._renderer.ntp(tokens, self._header, complete=complete)
        laid_out = np.array(sequence.tokens, np.int32)
        return Segment(self._file, laid_out, end - start, "ntp", fallback=fallback)

    def masked(
        self, start: int, hole: _Hole, order: Order, stop: int | None = None
    ) -> Segment | None:
        """The bytes from ``start`` to ``stop`` with a hole; None if they do not fit a row. Without
        ``stop`` the suffix takes what room there is."""
        span = hole.span
        if span is None:
            return None
        prefix, middle = self.encode(start, span.start), self.encode(span.start, span.end)
        room = self.fim_room - len(prefix) - len(middle)
        if stop is None:
            stop, suffix = self.long.fit(span.end, room)
        else:
            suffix = self.encode(span.end, stop)
        if len(suffix) > room or stop <= start:
            return None
        sequence = self._renderer.fim(prefix, middle, suffix, self._header, order)
        return Segment(
            file=self._file,
            tokens=np.array(sequence.tokens, np.int32),
            text_bytes=stop - start,
            objective=hole.objective,
            order=order,
            span=span,
            middle_start=sequence.middle_start,
            middle_length=sequence.middle_length,
            fallback=hole.fallback,
            uniform=hole.uniform,
        )


def _next_segment(layout: _Layout, draw: _Draw, at: int) -> Segment:
    """The segment that begins at byte ``at``: all that is left, or as much as fits a row."""
    if layout.most_likely_fits(at) or layout.long.tokens_from(at) <= layout.ntp_room:
        rest = _rest(layout, draw, at)
        if rest is not None:
            return rest
    fallback = ""
    if draw.objective != "ntp":
        hole = draw.hole(at, layout.long.reach(at, layout.fim_room - SEAM_TOKENS))
        masked = layout.masked(at, hole, draw.order)
        if masked is not None:
            return masked
        fallback = hole.fallback or "seams-too-long"
    return layout.plain(at, *layout.long.fit(at, layout.ntp_room), fallback)


def _rest(layout: _Layout, draw: _Draw, at: int) -> Segment | None:
    """All that is left from ``at`` as one segment; None if it does not fit a row."""
    end = len(layout.data)
    hole = draw.hole(at, end)
    masked = layout.masked(at, hole, draw.order, end)
    if masked is not None:
        return masked
    tokens = layout.encode(at, end)
    if len(tokens) > layout.ntp_room:
        return None
    fallback = hole.fallback or ("" if hole.span is None else "seams-too-long")
    return layout.plain(at, end, tokens, fallback)
