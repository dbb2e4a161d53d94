"""A file as training segments: objective drawn, span cut, tokens laid out. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tree_sitter import Parser

from treespan.jobs.pack.config import PackConfig
from treespan.jobs.pack.pieces import SEAM_TOKENS, cut_pieces, line_starts_of
from treespan.model import fim_format, objectives
from treespan.model.fim_format import FimRenderer, Order
from treespan.model.grammars import has_grammar, load_parser
from treespan.model.objectives import Nodes, Objective, Span
from treespan.platform.draws import generator

_SENTINELS = 5
"""Special tokens of a masked segment: bos, prefix, suffix, middle, eos."""
_CERTAIN_FIT = 2
"""Code has more bytes to a token than this; used only to skip a needless encoding."""


@dataclass(frozen=True)
class FileText:
    """A file to be packed and the strategy that placed it."""

    file_id: str
    path: str
    language: str
    text: str
    strategy: str


@dataclass(frozen=True)
class Segment:
    """One piece of one file, laid out in tokens, with what the shard records of it."""

    file: FileText
    tokens: NDArray[np.int32]  # [length]; sentinels included
    middle_start: int  # -1 where there is no middle
    middle_length: int
    middle_bytes: int
    objective: Objective
    order: Order | None
    node_type: str
    fallback: str
    text_bytes: int


class SegmentBuilder:
    """Turns files into segments; holds the renderer and the parsers of one worker."""

    def __init__(self, config: PackConfig, renderer: FimRenderer, epoch: int) -> None:
        self._config = config
        self._renderer = renderer
        self._epoch = epoch
        self._parsers: dict[str, Parser] = {}

    @property
    def seq_len(self) -> int:
        """Tokens of a row."""
        return self._config.seq_len

    @property
    def pad(self) -> int:
        """The id that fills a row."""
        return self._renderer.pad

    def build(self, file: FileText) -> list[Segment]:
        """The segments of ``file``, in order; each fits a row."""
        header = self._renderer.header_ids(file.path, file.language)
        budget = self._config.seq_len - len(header) - _SENTINELS - SEAM_TOKENS
        if budget < self._config.seq_len // 4:
            # A path so long that its header would crowd out the code.
            header = []
            budget = self._config.seq_len - _SENTINELS - SEAM_TOKENS
        data = file.text.encode()
        nodes: Nodes | None = None
        segments: list[Segment] = []
        for start, end, ids in self._pieces(file.text, data, budget):
            rng = generator(self._config.seed, "objective", self._epoch, file.file_id, start)
            drawn = self._config.objectives.draw(rng.random())
            order: Order = "spm" if rng.random() < self._config.objectives.spm else "psm"
            span, fallback = None, ""
            if drawn == "sfim":
                nodes = self._nodes(file, data) if nodes is None else nodes
                span = objectives.sfim_span(
                    data[start:end],
                    nodes.within(start, end),
                    rng,
                    self._config.objectives.node_weight,
                    ends_a_line=end == len(data),
                )
                if span is None:
                    known = has_grammar(file.language)
                    drawn, fallback = "fim", "no-node" if known else "no-grammar"
            if drawn == "fim" and span is None:
                span = objectives.fim_span(data[start:end], rng)
                fallback = fallback if span else "too-short"
            segments.append(
                self._segment(file, data, start, end, ids, drawn, order, span, fallback, header)
            )
        return segments

    def _pieces(
        self, text: str, data: bytes, budget: int
    ) -> list[tuple[int, int, list[int] | None]]:
        """Byte ranges of the pieces and, where they are at hand, their tokens."""
        if len(data) <= _CERTAIN_FIT * budget:
            ids = self._renderer.tokenizer.encode(text)
            if len(ids) <= budget:
                return [(0, len(data), ids)]
        ids, offsets = self._renderer.tokenizer.encode_with_offsets(text)
        if len(ids) <= budget:
            return [(0, len(data), ids)]
        characters = cut_pieces(offsets, line_starts_of(text), len(text), budget)
        pieces: list[tuple[int, int, list[int] | None]] = []
        at = 0
        for start, end in characters:
            size = len(text[start:end].encode())
            pieces.append((at, at + size, None))
            at += size
        return pieces

    def _nodes(self, file: FileText, data: bytes) -> Nodes:
        if not has_grammar(file.language):
            return Nodes.none()
        if file.language not in self._parsers:
            self._parsers[file.language] = load_parser(file.language)
        return objectives.maskable_nodes(data, self._parsers[file.language])

    def _segment(
        self,
        file: FileText,
        data: bytes,
        start: int,
        end: int,
        ids: list[int] | None,
        objective: Objective,
        order: Order,
        span: Span | None,
        fallback: str,
        header: Sequence[int],
    ) -> Segment:
        piece = data[start:end]
        encode = self._renderer.tokenizer.encode
        if span is not None:
            parts = (piece[: span.start], piece[span.start : span.end], piece[span.end :])
            prefix, middle, suffix = (encode(part.decode()) for part in parts)
            masked = self._renderer.fim(prefix, middle, suffix, list(header), order)
            if len(masked.tokens) <= self._config.seq_len:
                kind = (objective, order, span.node_type, fallback)
                return _as_segment(file, masked, len(parts[1]), *kind, end - start)
            fallback = "seams-too-long"
        whole = encode(piece.decode()) if ids is None else ids
        plain = self._renderer.ntp(whole, list(header), complete=end == len(data))
        return _as_segment(file, plain, 0, "ntp", None, "", fallback, end - start)


def _as_segment(
    file: FileText,
    sequence: fim_format.Sequence,
    middle_bytes: int,
    objective: Objective,
    order: Order | None,
    node_type: str,
    fallback: str,
    text_bytes: int,
) -> Segment:
    return Segment(
        file=file,
        tokens=np.array(sequence.tokens, np.int32),
        middle_start=sequence.middle_start,
        middle_length=sequence.middle_length,
        middle_bytes=middle_bytes,
        objective=objective,
        order=order,
        node_type=node_type,
        fallback=fallback,
        text_bytes=text_bytes,
    )
