import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.curate import measures
from treespan.jobs.curate.measures import Measures, measure, numpy_count


def by_characters(text: str) -> Measures:
    """What is measured, said of decoded text."""
    lines = text.split("\n")
    return Measures(
        words=len(re.findall(rb"[0-9A-Za-z_\x80-\xff]+", text.encode())),
        characters=len(text),
        line_ends=text.count("\n"),
        lines=len(lines) - (1 if lines[-1] == "" else 0),
        longest_line=max(len(line.rstrip("\r")) for line in lines),
        alphanumerics=sum(map(str.isalnum, text)),
    )


TEXTS = st.one_of(st.text(alphabet="aZ09_ä€𝒳٣½1+\r\n ", max_size=60), st.text(max_size=60))


@given(TEXTS)
def test_measures_are_those_of_the_decoded_text(text: str) -> None:
    assert measure(text.encode()) == by_characters(text)


@given(TEXTS)
def test_the_kernel_and_its_numpy_twin_agree(text: str) -> None:
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    tables = measures._IS_WORD, measures._IS_ASCII_ALPHANUMERIC
    assert measures._count(data, *tables) == numpy_count(data, *tables)


def test_shares_and_means() -> None:
    assert measure(b"").mean_line == 0
    assert measure(b"").alphanumeric_share == 0
    found = measure("añ+\r\nb\n".encode())
    assert found.mean_line == (3 + 1 + 1) / 2
    assert found.alphanumeric_share == 3 / 7
    assert found.longest_line == 3
