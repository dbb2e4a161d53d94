"""Excerpts and differences: short whatever the text, and harmless to a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from treespan.platform.excerpt import DIFF_LINES, LINE_CHARACTERS, difference, excerpt


def test_the_start_and_the_middle() -> None:
    lines = [f"line {n}" for n in range(100)]
    shown = excerpt("\n\n" + "\n".join(lines)).splitlines()
    assert shown[:6] == [*lines[:5], "⋮"]
    assert shown[6:] == [*lines[47:52], "⋮"]


def test_a_short_text_is_whole() -> None:
    text = "\n".join(f"line {n}" for n in range(10))
    assert excerpt(text) == text
    assert excerpt("") == ""


def test_a_difference_shows_what_changed() -> None:
    kept = "\n".join(f"line {n}" for n in range(50))
    assert difference(kept, kept.replace("line 7\n", "line seven\n")).splitlines() == [
        "@@ -7,3 +7,3 @@",
        " line 6",
        "-line 7",
        "+line seven",
        " line 8",
    ]
    assert difference(kept, kept) == ""


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_both_are_bounded_and_printable(one: str, other: str) -> None:
    for shown in (excerpt(one), difference(one, other)):
        lines = shown.split("\n")
        assert len(lines) <= DIFF_LINES + 1
        assert all(len(line) <= LINE_CHARACTERS + 1 for line in lines)
        assert "\x1b" not in shown
        assert "\r" not in shown
