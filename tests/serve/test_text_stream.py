"""Text as it comes: the pieces joined are the whole, and no piece holds what must not be shown."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treespan.model.tokenizer import Tokenizer
from treespan.serve.text_stream import Detokenizer, StopScanner, TextStream

few_characters = st.text("ab\n", max_size=30)


@settings(deadline=None)
@given(st.lists(st.integers(0, 399), max_size=40))
def test_pieces_join_to_the_decoded_whole(tokenizer: Tokenizer, ids: list[int]) -> None:
    stream = Detokenizer(tokenizer)
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) + stream.finish() == tokenizer.decode(ids)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_no_piece_of_valid_text_holds_half_a_character(tokenizer: Tokenizer, text: str) -> None:
    stream = Detokenizer(tokenizer)
    given = ""
    for token in tokenizer.encode(text):
        given += stream.push(token)
        assert text.startswith(given)
    assert given + stream.finish() == text


def test_a_character_comes_when_its_last_byte_does(tokenizer: Tokenizer) -> None:
    ids = [token for byte in "é🦀" for token in tokenizer.encode(byte)]
    assert len(ids) > 3
    stream = Detokenizer(tokenizer)
    assert [piece for piece in map(stream.push, ids) if piece] == ["é", "🦀"]


def cut_at_first_stop(text: str, stops: list[str]) -> str:
    """The definition: grow the text by one character until it ends with a stop string."""
    for end in range(len(text) + 1):
        matching = [stop for stop in stops if text[:end].endswith(stop)]
        if matching:
            return text[: end - max(map(len, matching))]
    return text


@settings(max_examples=300, deadline=None)
@given(
    few_characters,
    st.lists(st.text("ab\n", min_size=1, max_size=5), max_size=4),
    st.integers(0, 2**32),
)
def test_stops_are_found_however_the_text_is_cut(text: str, stops: list[str], seed: int) -> None:
    rng, scanner, given, rest = random.Random(seed), StopScanner(stops), "", text
    expected = cut_at_first_stop(text, stops)
    while rest:
        size = rng.randint(1, 4)
        given += scanner.push(rest[:size])
        rest = rest[size:]
        assert expected.startswith(given)
    assert given + scanner.finish() == expected
    assert scanner.stopped == (expected != text or any(map(text.endswith, stops)))


def test_only_what_may_become_a_stop_is_held_back() -> None:
    scanner = StopScanner(["\n\n", "def "])
    assert [scanner.push(part) for part in ("x\n", "y de", "f", "x", "\n", "\nz")] == [
        *("x", "\ny ", "", "defx", "", ""),
    ]
    assert scanner.stopped


@pytest.mark.parametrize("stop", ["naïve", "🎉"])
def test_a_stop_may_straddle_tokens(tokenizer: Tokenizer, stop: str) -> None:
    stream = TextStream(tokenizer, [stop])
    shown = "".join(stream.push(token) for token in tokenizer.encode(f"before {stop} after"))
    assert shown + stream.finish() == "before "
    assert stream.stopped
