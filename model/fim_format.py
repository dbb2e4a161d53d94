"""How a fill-in-the-middle sequence is laid out in tokens: sentinels, order, header comments.

A checkpoint carries its format, so that training, evaluation and serving write the very same
sequences, and other models' formats are data. The layout is aiXcoder's (its README and
``finetune.py``)::

    NTP  bos {header}{code} eos
    PSM  bos PREFIX {header}{prefix} SUFFIX {suffix} MIDDLE {middle} eos
    SPM  bos PREFIX SUFFIX {suffix} MIDDLE {header}{prefix}{middle} eos

The parts are encoded one by one, so a span may begin and end at any character and the tokens at the
seams are those that serving produces: it has the prefix and the suffix, but not the middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import model_validator

from treespan.model.comments import header
from treespan.model.tokenizer import Tokenizer
from treespan.platform.config import Config

Order = Literal["psm", "spm"]


class FimFormat(Config):
    """The names of the special tokens, and what stands around the code."""

    name: str = "treespan"
    """Which family's format this is."""
    bos: str = "<s>"
    """Starts every sequence."""
    eos: str = "</s>"
    """Ends every sequence, and so a middle."""
    pad: str = "<pad>"
    """Fills the rest of a row."""
    prefix: str = "<|fim_prefix|>"
    """Before the code that stands before the hole."""
    suffix: str = "<|fim_suffix|>"
    """Before the code that stands after the hole."""
    middle: str = "<|fim_middle|>"
    """Before the code that fills the hole."""
    order: Order = "spm"
    """The order of a prompt when a request does not choose. With the suffix first, typing only
    changes the end of the prompt."""
    path_comment: bool = True
    """Whether a comment with the file's path and language stands before its code."""

    @model_validator(mode="after")
    def _tokens_differ(self) -> FimFormat:
        tokens = self.special_tokens()
        if len(set(tokens)) < len(tokens) or not all(tokens):
            raise ValueError("the special tokens must differ from each other and not be empty")
        return self

    def special_tokens(self) -> list[str]:
        """All special tokens, in the order of their ids in a vocabulary of our own."""
        return [self.pad, self.bos, self.eos, self.prefix, self.suffix, self.middle]


@dataclass(frozen=True)
class Sequence:
    """A laid out sequence: its tokens and where its middle lies (length 0 and start -1 for NTP)."""

    tokens: list[int]
    middle_start: int
    middle_length: int


class FimRenderer:
    """Lays out sequences in one format with one tokenizer."""

    def __init__(self, fim_format: FimFormat, tokenizer: Tokenizer) -> None:
        self.format = fim_format
        self.tokenizer = tokenizer
        self.bos = tokenizer.id_of(fim_format.bos)
        self.eos = tokenizer.id_of(fim_format.eos)
        self.pad = tokenizer.id_of(fim_format.pad)
        self._prefix = tokenizer.id_of(fim_format.prefix)
        self._suffix = tokenizer.id_of(fim_format.suffix)
        self._middle = tokenizer.id_of(fim_format.middle)

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids that end a generated middle."""
        return frozenset({self.bos, self.eos, self.pad, self._prefix, self._suffix, self._middle})

    def header(self, path: str, language: str) -> str:
        """The comment lines before the code of ``path``; empty where the format has none."""
        return header(path, language) if self.format.path_comment else ""

    def header_ids(self, path: str, language: str) -> list[int]:
        """The tokens of ``header``."""
        return self.tokenizer.encode(self.header(path, language))

    def ntp(self, code: list[int], header_ids: list[int], *, complete: bool = True) -> Sequence:
        """Next-token prediction over ``code``; ``complete`` says that the file ends there."""
        ending = [self.eos] if complete else []
        return Sequence([self.bos, *header_ids, *code, *ending], -1, 0)

    def prompt(
        self, prefix: list[int], suffix: list[int], header_ids: list[int], order: Order
    ) -> list[int]:
        """The sequence up to where the middle begins."""
        if order == "psm":
            return [
                *(self.bos, self._prefix, *header_ids, *prefix),
                *(self._suffix, *suffix, self._middle),
            ]
        return [
            *(self.bos, self._prefix, self._suffix, *suffix),
            *(self._middle, *header_ids, *prefix),
        ]

    def fim(
        self,
        prefix: list[int],
        middle: list[int],
        suffix: list[int],
        header_ids: list[int],
        order: Order,
    ) -> Sequence:
        """A whole training sequence, from bos to eos."""
        before = self.prompt(prefix, suffix, header_ids, order)
        return Sequence([*before, *middle, self.eos], len(before), len(middle))


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
