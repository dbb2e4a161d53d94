"""The text of single tokens. A character may need several tokens; then they are shown as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from treespan.model.tokenizer import Tokenizer

_BROKEN = "\N{REPLACEMENT CHARACTER}"


def pieces_of(tokenizer: Tokenizer, ids: Sequence[int]) -> Iterator[str]:
    """The text of ``ids`` token by token; joined, it is that of all of them."""
    before: list[int] = []
    waiting: list[int] = []
    for token in ids:
        waiting.append(token)
        text = _between(tokenizer, before, waiting)
        # Either part of a character, or this very character: the next token tells.
        if not text.endswith(_BROKEN):
            yield text
            before, waiting = waiting, []
    if waiting:
        yield _between(tokenizer, before, waiting)


def _between(tokenizer: Tokenizer, before: Sequence[int], ids: Sequence[int]) -> str:
    """What ``ids`` add after ``before``: some decoders drop the blank at the start of a text."""
    return tokenizer.decode([*before, *ids])[len(tokenizer.decode(before)) :]
