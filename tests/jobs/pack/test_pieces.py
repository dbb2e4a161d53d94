"""Pieces of long files: they cover the text, keep to the budget and cut at lines where they can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.pack.pieces import cut_pieces, line_starts_of


def word_offsets(text: str, width: int) -> list[tuple[int, int]]:
    """Tokens of ``width`` characters."""
    return [(at, min(at + width, len(text))) for at in range(0, len(text), width)]


@given(st.text(alphabet="ab\n", max_size=200), st.integers(1, 5), st.integers(1, 40))
def test_pieces_cover_the_text_and_keep_to_the_budget(text: str, width: int, budget: int) -> None:
    offsets = word_offsets(text, width)
    pieces = cut_pieces(offsets, line_starts_of(text), len(text), budget)
    assert "".join(text[a:b] for a, b in pieces) == text
    if len(offsets) <= budget:
        assert pieces == [(0, len(text))]
    for start, end in pieces:
        whole = [token for token in offsets if token[0] >= start and token[1] <= end]
        assert len(whole) <= budget


def test_cuts_fall_on_line_starts() -> None:
    text = "".join(f"line {i}\n" for i in range(30))
    pieces = cut_pieces(word_offsets(text, 1), line_starts_of(text), len(text), 40)
    assert len(pieces) > 3
    assert all(text[start - 1] == "\n" for start, _ in pieces[1:])


def test_a_line_over_the_budget_is_cut_within() -> None:
    text = "x" * 100
    pieces = cut_pieces(word_offsets(text, 1), line_starts_of(text), 100, 30)
    assert pieces == [(0, 30), (30, 60), (60, 90), (90, 100)]


def test_tokens_that_share_a_character() -> None:
    """A character of several bytes may be several tokens, all with its one offset."""
    offsets = [(i, i + 1) for i in range(10) for _ in range(3)]
    pieces = cut_pieces(offsets, [0], 10, 7)
    assert "".join("0123456789"[a:b] for a, b in pieces) == "0123456789"
    assert all(a < b for a, b in pieces)


@pytest.mark.parametrize(
    ("text", "starts"), [("", [0]), ("a", [0]), ("a\n", [0]), ("a\nb\n\nc", [0, 2, 4, 5])]
)
def test_line_starts(text: str, starts: list[int]) -> None:
    assert line_starts_of(text) == starts
