import re

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.curate import shingles as module
from treespan.jobs.curate.shingles import count_words, numpy_grams, shingles, unique
from treespan.jobs.curate.signature import (
    EMPTY,
    band_keys,
    estimate,
    numpy_signature,
    recall,
    signature,
)
from treespan.platform.kernels import HAS_NUMBA

TEXTS = st.one_of(st.binary(), st.text().map(str.encode))


def plain_shingles(text: bytes, words: int = 5) -> set[tuple[bytes, ...]]:
    found = re.findall(rb"[0-9A-Za-z_\x80-\xff]+", text)
    if not found:
        return set()
    size = min(words, len(found))
    return {tuple(found[i : i + size]) for i in range(len(found) - size + 1)}


@given(TEXTS, st.integers(1, 6))
def test_there_is_one_hash_for_each_distinct_gram(text: bytes, words: int) -> None:
    hashes = shingles(text, words)
    assert len(hashes) == len(plain_shingles(text, words))
    assert (np.diff(hashes.astype(object)) > 0).all()
    assert count_words(text) == len(re.findall(rb"[0-9A-Za-z_\x80-\xff]+", text))


@pytest.mark.skipif(not HAS_NUMBA, reason="numba is not installed")
@given(TEXTS)
def test_numpy_gives_what_the_kernels_give(text: bytes) -> None:
    data = np.frombuffer(text, dtype=np.uint8)
    kernel = module._grams(data, module._IS_WORD, 5)
    assert kernel.tolist() == numpy_grams(data, 5).tolist()
    hashes = unique(kernel)
    assert signature(hashes).tolist() == numpy_signature(hashes).tolist()


def test_hashes_never_change() -> None:
    # They may be stored, and compared with those of a later version.
    assert shingles(b"def add(a, b): return a + b").tolist() == [
        1788671147021677356,
        15198266983818481282,
        16686599753586817707,
    ]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_signature_is_one_of_datasketch(hashes: list[int]) -> None:
    array = np.array(hashes, dtype=np.uint64)
    theirs = MinHash(num_perm=256, hashfunc=lambda value: value >> 32)
    theirs.update_batch(hashes)
    assert signature(array).tolist() == theirs.hashvalues.tolist()
    # And it can be carried on: added to, compared, put into an index.
    carried = MinHash(
        hashvalues=signature(array), scheme="affine32", hashfunc=lambda value: value >> 32
    )
    carried.update(7 << 32)
    theirs.update(7 << 32)
    assert carried.jaccard(theirs) == 1.0
    assert estimate(signature(array), signature(array)) == 1.0


def test_estimates_are_unbiased() -> None:
    draw = np.random.default_rng(3)
    errors = []
    for _ in range(60):
        base = draw.integers(0, 2**63, 400, dtype=np.uint64) * np.uint64(2)
        edited = base.copy()
        edited[:32] = draw.integers(0, 2**63, 32, dtype=np.uint64)
        one, other = unique(base), unique(edited)
        truth = len(np.intersect1d(one, other)) / len(np.union1d(one, other))
        errors.append(estimate(signature(one), signature(other)) - truth)
    # At 0.85 and 256 values the standard deviation of one estimate is 0.022, of the mean 0.003.
    assert abs(np.mean(errors)) < 0.012
    assert 0.012 < np.std(errors) < 0.032


def test_the_signature_of_nothing() -> None:
    assert (signature(shingles(b"... !")) == EMPTY).all()


def test_bands_are_apart_and_recall_is_as_promised() -> None:
    keys = band_keys(np.full((2, 256), 7, dtype=np.uint32), 25, 10)
    assert len(set(keys[0].tolist())) == 25
    assert keys[0].tolist() == keys[1].tolist()
    assert recall(0.85, 25, 10) > 0.99
    assert recall(0.85, 13, 19) < 0.5  # datasketch's choice for 0.85
