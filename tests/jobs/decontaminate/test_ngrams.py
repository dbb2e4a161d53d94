"""The kernel against the plain way to write it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.decontaminate import ngrams as module
from treespan.jobs.decontaminate.benchmarks import WORD
from treespan.jobs.decontaminate.ngrams import HashTable, ngrams, word_hashes

WORDS = st.lists(st.sampled_from([b"a", b"b", b"if", b"x1", "ö".encode()]), max_size=40)
SIZES = st.integers(1, 7)


def runs(words: list[bytes], size: int) -> list[tuple[bytes, ...]]:
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


@pytest.mark.parametrize("compiled", [True, False])
@given(wanted=WORDS, text=WORDS, size=SIZES)
def test_finds_what_brute_force_finds(
    compiled: bool, wanted: list[bytes], text: list[bytes], size: int
) -> None:
    of_table = runs(wanted, size)
    values = ngrams(word_hashes(b" ".join(wanted)), size)
    assert len(values) == len(of_table)
    run_of = dict(zip(values.tolist(), of_table, strict=True))
    assert len(run_of) == len(set(of_table))
    table = HashTable(np.unique(values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "HAS_NUMBA", compiled and module.HAS_NUMBA)
        starts, places = table.find(word_hashes(b"+\n".join(text)), size)
    found = {
        int(start): run_of[int(value)]
        for start, value in zip(starts, table.hashes[places], strict=True)
    }
    expected = {i: run for i, run in enumerate(runs(text, size)) if run in set(of_table)}
    assert found == expected


@given(st.binary(), SIZES)
def test_words_are_those_of_the_index(text: bytes, size: int) -> None:
    words = WORD.findall(text)
    assert len(word_hashes(text)) == len(words)
    assert len(set(ngrams(word_hashes(text), size).tolist())) == len(set(runs(words, size)))


def test_lengths_do_not_meet() -> None:
    words = word_hashes(b"a a a a a a")
    assert not set(ngrams(words, 2).tolist()) & set(ngrams(words, 3).tolist())
