"""How a fill-in-the-middle sequence is laid out in tokens: sentinels, order, headers.

A checkpoint carries its format, so that training, evaluation and serving write the very same
sequences, and other models' formats are data: ``fim_formats/*.yaml``. All share one layout, with
parts that a format may lack::

    NTP  bos {header}{code} eos
    PSM  bos PREFIX {header}{prefix} SUFFIX {suffix} MIDDLE {middle} end
    SPM  bos PREFIX SUFFIX {suffix} MIDDLE {header}{prefix}{middle} end

The parts are encoded one by one, so a span may begin and end at any character and the tokens at the
seams are those that serving produces: it has the prefix and the suffix, but not the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from treespan.model.comments import comment_out
from treespan.model.tokenizer import Tokenizer
from treespan.platform.config import Config
from treespan.platform.recipe import overlay

Order = Literal["psm", "spm"]


class FimFormat(Config):
    """The names of the special tokens, and what stands around the code.

    Given as the name of a format that ships with Treespan (``qwen2.5-coder``), or field by field,
    on top of our own format or of that named by ``base``.
    """

    name: str = "treespan"
    """Which family's format this is."""
    bos: str | None = "<s>"
    """Starts every sequence; some formats have none."""
    eos: str = "</s>"
    """Ends every sequence."""
    pad: str = "<pad>"
    """Fills the rest of a row; may be ``eos`` where a vocabulary has nothing better."""
    prefix: str = "<|fim_prefix|>"
    """Before the code that stands before the hole."""
    suffix: str = "<|fim_suffix|>"
    """Before the code that stands after the hole."""
    middle: str = "<|fim_middle|>"
    """Before the code that fills the hole."""
    end_of_middle: str | None = None
    """Ends a middle, and with it the sequence, where that is not ``eos``."""
    orders: tuple[Order, ...] = Field(default=("psm", "spm"), min_length=1)
    """The orders that sequences may have: those that the family was trained with."""
    order: Order = "spm"
    """The order of a prompt when a request does not choose. With the suffix first, typing only
    changes the end of the prompt."""
    header: Literal["comment", "file_sep", "none"] = "comment"
    """What stands before a file's code: ``comment_lines`` as comments in the file's language, or
    ``file_sep``, the path and a newline."""
    comment_lines: tuple[str, ...] = (
        "the file path is: {path}",
        "the code file is written by {language}",
    )
    """The lines of a header of comments. The default is the paper's."""
    file_sep: str | None = None
    """Before the path of a file."""
    header_place: Literal["prefix", "start"] = "prefix"
    """Whether a header belongs to the prefix or stands before all of a sequence but its ``bos``. A
    ``file_sep`` always stands there; the place is that of the path."""
    leading_blank: bool = False
    """Whether a header begins with a blank: SentencePiece put one before every text that it
    encoded, so models trained with it know no other beginning."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, values: Any) -> Any:
        if isinstance(values, str):
            return dict(_shipped(values))
        if isinstance(values, Mapping) and "base" in values:
            changes = {key: value for key, value in values.items() if key != "base"}
            return overlay(_shipped(str(values["base"])), changes)
        return values

    @model_validator(mode="after")
    def _possible(self) -> FimFormat:
        tokens = self._tokens()
        if len(set(tokens)) < len(tokens) or not all((*tokens, self.pad)):
            raise ValueError("the special tokens must differ from each other and not be empty")
        if self.pad in tokens and self.pad != self.eos:
            raise ValueError("pad must differ from the other special tokens, eos excepted")
        if self.order not in self.orders:
            raise ValueError(f"order {self.order!r} is not one of orders, {list(self.orders)}")
        if (self.header == "file_sep") != (self.file_sep is not None):
            raise ValueError("file_sep names a token if header is file_sep, and only then")
        return self

    def special_tokens(self) -> list[str]:
        """All special tokens, in the order of their ids in a vocabulary of our own."""
        return list(dict.fromkeys([self.pad, *self._tokens()]))

    def _tokens(self) -> list[str]:
        named = (self.bos, self.eos, self.prefix, self.suffix, self.middle)
        return [name for name in (*named, self.end_of_middle, self.file_sep) if name is not None]


def shipped_formats() -> list[str]:
    """The names of the formats that ship with Treespan."""
    names = (entry.name for entry in files("treespan.model").joinpath("fim_formats").iterdir())
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def format_of_tokens(has: Callable[[str], bool]) -> FimFormat | None:
    """The one format that ships with Treespan and all of whose special tokens a vocabulary ``has``.

    None where there is no such format, or more than one.
    """
    known = [FimFormat.model_validate(name) for name in shipped_formats()]
    found = [known_one for known_one in known if all(map(has, known_one.special_tokens()))]
    return found[0] if len(found) == 1 else None


@cache
def _shipped(name: str) -> Mapping[str, Any]:
    names = shipped_formats()
    if name not in names:
        raise ValueError(f"there is no FIM format {name!r}; there are {', '.join(names)}")
    path = files("treespan.model").joinpath("fim_formats", f"{name}.yaml")
    values: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


@dataclass(frozen=True)
class Sequence:
    """A laid out sequence: its tokens and where its middle lies (length 0 and start -1 for NTP)."""

    tokens: list[int]
    middle_start: int
    middle_length: int


class FimRenderer:
    """Lays out sequences in one format with one tokenizer, and reads them back."""

    def __init__(self, fim_format: FimFormat, tokenizer: Tokenizer) -> None:
        self.format = fim_format
        self.tokenizer = tokenizer
        self.bos = None if fim_format.bos is None else tokenizer.id_of(fim_format.bos)
        self.eos = tokenizer.id_of(fim_format.eos)
        self.pad = tokenizer.id_of(fim_format.pad)
        self.end_of_middle = tokenizer.id_of(fim_format.end_of_middle or fim_format.eos)
        self._prefix = tokenizer.id_of(fim_format.prefix)
        self._suffix = tokenizer.id_of(fim_format.suffix)
        self._middle = tokenizer.id_of(fim_format.middle)
        self._beginning = [] if self.bos is None else [self.bos]
        self._special = frozenset(tokenizer.id_of(name) for name in fim_format.special_tokens())

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end a generated middle."""
        return self._special

    @property
    def ntp_overhead(self) -> int:
        """Special tokens of a complete NTP sequence."""
        return len(self._beginning) + 1

    @property
    def fim_overhead(self) -> int:
        """Special tokens of a complete FIM sequence."""
        return len(self._beginning) + 4

    def header_ids(self, path: str, language: str) -> list[int]:
        """What stands before the code of ``path``: its tokens, or none where there is no header.

        There is none for a language whose comments are not known, and for a path with a line break.
        """
        if self.format.header == "none" or path.splitlines() != [path]:
            return []
        blank = " " if self.format.leading_blank else ""
        if self.format.file_sep is not None:
            file_sep = self.tokenizer.id_of(self.format.file_sep)
            return [file_sep, *self.tokenizer.encode(f"{blank}{path}\n")]
        # Not str.format: braces of a format's line or a path mean nothing.
        lines = [
            line.replace("{language}", language).replace("{path}", path)
            for line in self.format.comment_lines
        ]
        text = comment_out(lines, language)
        return self.tokenizer.encode(blank + text) if text else []

    def ntp(self, code: list[int], header_ids: list[int], *, complete: bool = True) -> Sequence:
        """Next-token prediction over ``code``; ``complete`` says that the file ends there."""
        ending = [self.eos] if complete else []
        return Sequence([*self._beginning, *header_ids, *code, *ending], -1, 0)

    def prompt(
        self, prefix: list[int], suffix: list[int], header_ids: list[int], order: Order
    ) -> list[int]:
        """The sequence up to where the middle begins. ``ValueError`` for an order that it lacks."""
        if order not in self.format.orders:
            raise ValueError(f"the format {self.format.name} has no order {order}")
        outer, inner = self._header_parts(header_ids)
        opening = [*self._beginning, *outer, self._prefix]
        if order == "psm":
            return [*opening, *inner, *prefix, self._suffix, *suffix, self._middle]
        return [*opening, self._suffix, *suffix, self._middle, *inner, *prefix]

    def fim(
        self,
        prefix: list[int],
        middle: list[int],
        suffix: list[int],
        header_ids: list[int],
        order: Order,
    ) -> Sequence:
        """A whole training sequence, from its beginning to the end of its middle."""
        before = self.prompt(prefix, suffix, header_ids, order)
        return Sequence([*before, *middle, self.end_of_middle], len(before), len(middle))

    def restore(self, tokens: Iterable[int], header_ids: list[int]) -> str:
        """The text that ``ntp``, ``prompt`` or ``fim`` laid out: no header, parts in their order.

        ``header_ids`` are those that the sequence was laid out with: a header is ordinary text, so
        nothing else tells it from code. Raises ``ValueError`` where the sequence begins otherwise.
        """
        ids = _without_start([int(token) for token in tokens], self._beginning)
        if ids and ids[-1] in (self.eos, self.end_of_middle):
            ids.pop()
        if self._prefix not in ids:
            return self.tokenizer.decode(_without_start(ids, header_ids))
        outer, inner = self._header_parts(header_ids)
        before, after = _partition(_without_start(ids, [*outer, self._prefix]), self._suffix)
        suffix, last = _partition(after, self._middle)
        # With nothing before SUFFIX the suffix came first, or the order makes no difference.
        code = _without_start([*before, *last], inner)
        return self.tokenizer.decode([*code, *suffix])

    def _header_parts(self, header_ids: list[int]) -> tuple[list[int], list[int]]:
        """The header before the first sentinel, and that before the code of the prefix."""
        if self.format.header_place == "start":
            return header_ids, []
        outside = 0 if self.format.file_sep is None else 1
        return header_ids[:outside], header_ids[outside:]


def _without_start(ids: list[int], start: list[int]) -> list[int]:
    if ids[: len(start)] != start:
        raise ValueError(f"the sequence begins with {ids[: len(start)]}, not with {start}")
    return ids[len(start) :]


def _partition(ids: list[int], mark: int) -> tuple[list[int], list[int]]:
    """What stands before the first ``mark``, or all, and what stands after it."""
    place = ids.index(mark) if mark in ids else len(ids)
    return ids[:place], ids[place + 1 :]


def crop_context(prefix: list[int], suffix: list[int], room: int) -> tuple[list[int], list[int]]:
    """The end of ``prefix`` and the beginning of ``suffix``, together at most ``room`` tokens.

    Each may take half; what one leaves goes to the other (the halves are those of aiXcoder's
    evaluation scripts).
    """
    half = room // 2
    suffix_room = max(half, room - len(prefix))
    suffix = suffix[: max(0, suffix_room)]
    prefix_room = max(0, room - len(suffix))
    return prefix[len(prefix) - prefix_room :] if len(prefix) > prefix_room else prefix, suffix
