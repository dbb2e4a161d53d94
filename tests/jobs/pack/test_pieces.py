"""Pieces of long files: they cover the text, keep to the room and cut at lines where that is cheap."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import normalizers

from treespan.jobs.pack.pieces import LongText, token_ends
from treespan.model.tokenizer import Tokenizer, train

CODE = "".join(f"def area_{i}(width):\n    return width * {i}  # größer\n\n" for i in range(40))
TOKENIZER = train([CODE], vocab_size=400, special_tokens=["<s>"])


def pieces_of(text: str, room: int, seq_len: int, tokenizer: Tokenizer = TOKENIZER) -> list[str]:
    data = text.encode()
    long = LongText(text, data, tokenizer, seq_len)
    pieces, at = [], 0
    while at < len(data):
        end, tokens = long.fit(at, room)
        assert at < end
        assert len(tokens) <= room
        assert tokens == tokenizer.encode(data[at:end].decode())
        pieces.append(data[at:end].decode())
        at = end
    return pieces


@given(st.text("ab 12\n\r(é中😀", min_size=1, max_size=200), st.integers(8, 40))
def test_pieces_cover_the_text_and_keep_to_the_room(text: str, room: int) -> None:
    assert "".join(pieces_of(text, room, seq_len=room)) == text


@given(st.integers(20, 300))
def test_pieces_are_as_long_as_they_can_be(room: int) -> None:
    pieces = pieces_of(CODE, room, seq_len=0)
    for piece, following in itertools.pairwise(pieces):
        # The next word and what belongs to it would be too many tokens.
        assert len(TOKENIZER.encode(piece + following[:24])) > room


def test_cuts_fall_on_line_starts_where_that_wastes_little() -> None:
    tokens = len(TOKENIZER.encode(CODE.splitlines(keepends=True)[0]))
    pieces = pieces_of(CODE, room=200, seq_len=128 * (tokens + 10))
    assert len(pieces) > 3
    assert all(piece.endswith("\n") for piece in pieces)
    ends = {piece[-1] for room in range(190, 210) for piece in pieces_of(CODE, room, room)}
    assert ends > {"\n"}


def test_no_room_takes_nothing() -> None:
    long = LongText(CODE, CODE.encode(), TOKENIZER, 512)
    assert long.fit(7, 0) == (7, [])
    assert long.fit(7, -3) == (7, [])


@given(st.text())
def test_tokens_end_where_their_bytes_do(text: str) -> None:
    ends = token_ends(text, text.encode(), TOKENIZER)
    assert len(ends) == len(TOKENIZER.encode(text))
    assert (np.diff(ends) > 0).all()
    assert not len(ends) or ends[-1] == len(text.encode())


@pytest.mark.parametrize("text", ["e\u0301 = 1\n" * 9, "plain = 2\n" * 9])
def test_a_tokenizer_that_normalises_cuts_text_and_not_what_it_made_of_it(text: str) -> None:
    fast = FastTokenizer.from_str(TOKENIZER.serialized)
    fast.normalizer = normalizers.NFC()
    normalising = Tokenizer(fast.to_str())
    ends = token_ends(text, text.encode(), normalising)
    assert len(ends) == len(normalising.encode(text))
    assert ends[-1] == len(text.encode())
    assert "".join(pieces_of(text, 12, 12, normalising)) == text
