"""A packed row as runs of tokens, each with its role: what the terminal and the page draw.

Roles follow from the sentinels in a segment and from its columns, not from how sequences are laid
out at present, so rows of any FIM format are read. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from treespan.jobs.pack.inspect.token_text import pieces_of
from treespan.model.fim_format import FimRenderer

Role = Literal["sentinel", "header", "code", "prefix", "middle", "suffix"]

_LABELS = {
    "bos": "BOS",
    "eos": "EOS",
    "prefix": "PRE",
    "suffix": "SUF",
    "middle": "MID",
    "end_of_middle": "EOM",
    "file_sep": "SEP",
}
"""What a format's special tokens are called here, by the field of ``FimFormat`` that names them."""
_AFTER: dict[str, Role] = {"PRE": "prefix", "SUF": "suffix", "MID": "prefix"}
"""What begins after a sentinel. After MID it is a prefix in suffix-prefix-middle order; the middle
itself is known from its columns."""
_FILE_ORDER: tuple[Role, ...] = ("header", "code", "prefix", "middle", "suffix")


@dataclass(frozen=True)
class Run:
    """Consecutive tokens [start, end) of the row with one role, all targets or none of them.

    Only an empty middle is an empty run.
    """

    role: Role
    start: int
    end: int
    target: bool
    pieces: tuple[str, ...]
    """Its text. A piece is a token, or the few that share a character."""
    label: str = ""
    """The name of a sentinel."""

    @property
    def text(self) -> str:
        """All of its text."""
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """How many tokens it has."""
        return self.end - self.start


@dataclass(frozen=True)
class SegmentView:
    """One file, or one piece of a long file, as a row has it."""

    columns: Mapping[str, Any]
    """As they stand in the shard."""
    name: str
    """``REPO/PATH``; ``""`` where it is not known."""
    runs: tuple[Run, ...]
    """In the order of the tokens: as the model reads them."""

    @property
    def title(self) -> str:
        """Objective and order, and what was masked, in a few words."""
        found = (self.columns[name] for name in ("objective", "order", "node_type"))
        return " ".join([*filter(None, found), *filter(None, [self.columns.get("kind", "")])])

    def in_file_order(self) -> tuple[Run, ...]:
        """The runs as the file has them, with the header first and without sentinels."""
        shown = [run for run in self.runs if run.role != "sentinel"]
        return tuple(sorted(shown, key=lambda run: _FILE_ORDER.index(run.role)))


@dataclass(frozen=True)
class DocumentView:
    """Segments that see each other."""

    repo: str
    """The repository that it is of; ``""`` where it is not known."""
    tokens: int
    segments: tuple[SegmentView, ...]


@dataclass(frozen=True)
class RowView:
    """A whole row."""

    seq_len: int
    documents: tuple[DocumentView, ...]
    padding: int
    """Tokens at its end that are no part of any document."""


@dataclass(frozen=True)
class FileName:
    """What a file of the corpus is called."""

    repo: str
    path: str


def view_row(
    row: Mapping[str, Any], renderer: FimRenderer, names: Mapping[str, FileName]
) -> RowView:
    """``row`` of a shard, drawn with the ``renderer`` that laid it out.

    ``row`` has ``tokens`` [seq_len], ``loss_mask`` [seq_len], ``document_lengths`` and ``segments``.
    ``names`` are by ``file_id``; the header of a file whose name is not known counts as code.
    """
    tokens, mask = [int(token) for token in row["tokens"]], [bool(bit) for bit in row["loss_mask"]]
    reader = _SegmentReader(renderer, names, tokens, mask)
    segments = [reader.read(columns) for columns in row["segments"]]
    documents, start = [], 0
    for length in row["document_lengths"]:
        inside = [s for s in segments if start <= s.columns["start"] < start + length]
        files = (names.get(segment.columns["file_id"]) for segment in inside)
        repo = next((file.repo for file in files if file is not None), "")
        documents.append(DocumentView(repo, length, tuple(inside)))
        start += length
    return RowView(len(tokens), tuple(documents), len(tokens) - start)


class _SegmentReader:
    """Tells the roles of a row's tokens."""

    def __init__(
        self,
        renderer: FimRenderer,
        names: Mapping[str, FileName],
        tokens: Sequence[int],
        mask: Sequence[bool],
    ) -> None:
        self._renderer = renderer
        self._names = names
        self._tokens = tokens
        self._mask = mask
        self._labels: dict[int, str] = {}
        for field, label in _LABELS.items():
            name = getattr(renderer.format, field, None)
            if name is not None:
                self._labels.setdefault(renderer.tokenizer.id_of(name), label)

    def read(self, columns: Mapping[str, Any]) -> SegmentView:
        """The segment that ``columns`` describe."""
        start, end = columns["start"], columns["start"] + columns["length"]
        roles = self._roles(columns, start, end)
        name = self._names.get(columns["file_id"])
        if name is not None:
            self._mark_header(roles, start, name, columns["language"])
        runs = list(self._runs(roles, start))
        if columns["middle_start"] >= 0 and not columns["middle_length"]:
            hole = columns["middle_start"]
            place = next((n for n, run in enumerate(runs) if run.start >= hole), len(runs))
            runs.insert(place, Run("middle", hole, hole, True, ()))
        return SegmentView(columns, f"{name.repo}/{name.path}" if name else "", tuple(runs))

    def _roles(self, columns: Mapping[str, Any], start: int, end: int) -> list[Role]:
        masked = columns["middle_start"] >= 0
        middle = range(columns["middle_start"], columns["middle_start"] + columns["middle_length"])
        # Before the first sentinel of a masked segment, only a header can stand.
        current: Role = "header" if masked else "code"
        roles: list[Role] = []
        for at in range(start, end):
            label = self._labels.get(self._tokens[at], "")
            if at in middle:
                roles.append("middle")
            elif label:
                roles.append("sentinel")
                current = _AFTER.get(label, current)
            else:
                roles.append(current)
        return roles

    def _mark_header(self, roles: list[Role], start: int, name: FileName, language: str) -> None:
        """Mark the tokens of the header: those that the code, or the prefix, begins with."""
        ids = self._renderer.header_ids(name.path, language)
        header = [token for token in ids if token not in self._labels]
        first = next((n for n, role in enumerate(roles) if role in ("code", "prefix")), None)
        if first is None or not header:
            return
        if self._tokens[start + first : start + first + len(header)] == header:
            roles[first : first + len(header)] = ["header"] * len(header)

    def _runs(self, roles: Sequence[Role], start: int) -> Iterator[Run]:
        def key(place: int) -> tuple[Role, bool, int]:
            # Every sentinel is a run of its own.
            at = start + place
            alone = place if roles[place] == "sentinel" else -1
            return roles[place], self._mask[at], alone

        for (role, target, _), places in groupby(range(len(roles)), key):
            inside = list(places)
            first, last = start + inside[0], start + inside[-1] + 1
            ids = self._tokens[first:last]
            if role == "sentinel":
                yield Run(role, first, last, target, (), self._labels[ids[0]])
            else:
                pieces = pieces_of(self._renderer.tokenizer, ids)
                yield Run(role, first, last, target, tuple(pieces))
