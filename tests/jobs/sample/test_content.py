"""Terms, TF-IDF and clusters, each against an independent implementation."""

import re
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer

from treespan.jobs.sample import kmeans, terms
from treespan.jobs.sample.terms import TermCounter
from treespan.jobs.sample.vectors import tfidf
from treespan.platform.kernels import HAS_NUMBA

IDENTIFIER = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
WORD = re.compile(rb"[A-Z]+(?![a-z\x80-\xff])|[A-Z]?[a-z\x80-\xff]+")
PIECES = [
    "fileName",
    "file_name",
    "filename",
    "parseHTTPReply",
    "HTTPServer",
    "utf8",
    "0xFFab",
    "aB",
    "x1y2z3",
    "i",
    "__init__",
    "MAX_SIZE",
    "größe",
    "数字",
    "3px",
    "(",
    "_",
    "ABCd",
]
CODE = st.lists(st.sampled_from([*PIECES, " ", "\n"]), max_size=30).map("".join)


def terms_of(text: bytes) -> list[bytes]:
    """The terms of ``text``, in other words than the kernel's."""
    found = []
    for identifier in IDENTIFIER.findall(text):
        if identifier[:1].isdigit():
            continue
        words = WORD.findall(identifier)
        letters = sum(map(len, words))
        if letters >= 3 and (len(words) > 1 or re.search(rb"\d", identifier)):
            words.append(identifier.replace(b"_", b""))
        found += [word.lower() for word in words if len(word) >= 3]
    return found


def test_terms_of_an_identifier() -> None:
    assert terms_of(b"parseHTTPReply") == [b"parse", b"http", b"reply", b"parsehttpreply"]
    assert set(terms_of(b"fileName")) & set(terms_of(b"filename")) == {b"filename"}
    assert terms_of(b"0xFFFF 12px i to") == []


@given(st.one_of(st.binary(max_size=60), CODE.map(str.encode)))
def test_the_kernel_finds_the_terms(text: bytes) -> None:
    counter = TermCounter()
    expected: Counter[int] = Counter()
    for term in terms_of(text):
        # Lower case hides where words end, so each term is hashed as a word of its own.
        features, counts = counter.count(re.sub(rb"\d", b"", term))
        if not re.search(rb"\d", term):
            assert counts.tolist() == [1]
            expected[int(features[0])] += 1
    features, counts = counter.count(text)
    assert features.tolist() == sorted(set(features.tolist()))
    found = dict(zip(features.tolist(), counts.tolist(), strict=True))
    assert {feature: found.get(feature) for feature in expected} == dict(expected)
    assert sum(found.values()) == len(terms_of(text))


@pytest.mark.skipif(not HAS_NUMBA, reason="it is not compiled")
@given(CODE)
def test_the_kernel_is_the_same_uncompiled(text: str) -> None:
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    table = np.zeros(terms.FEATURES, np.int32)
    with np.errstate(over="ignore"):
        slow = terms._count.py_func(data, terms._KIND, table)
    for a, b in zip(TermCounter().count(text.encode()), slow, strict=True):
        assert a.tolist() == b.tolist()
    assert not table.any()


@given(st.lists(CODE, min_size=1, max_size=8))
def test_weights_are_those_of_scikit_learn(texts: list[str]) -> None:
    ours = tfidf(texts)
    vectorizer = TfidfVectorizer(
        analyzer=lambda text: terms_of(text.encode()), sublinear_tf=True, dtype=np.float64
    )
    try:
        theirs = vectorizer.fit_transform(texts).toarray()
    except ValueError:  # no term at all
        theirs = np.zeros((len(texts), 0))
    shared = (theirs > 0).sum(axis=0) > 1
    assert ours.shape == (len(texts), shared.sum())
    # Columns have another order; angles between files and lengths of what they share have not.
    expected = theirs[:, shared] @ theirs[:, shared].T
    np.testing.assert_allclose((ours @ ours.T).toarray(), expected, atol=1e-6)


def topics(files: int, seed: int = 0) -> csr_array:
    """Vectors of files about eight topics with words in common."""
    rng = np.random.default_rng(seed)
    vocabulary = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(400)]
    texts = []
    for index in range(files):
        own = rng.choice(vocabulary[40 * (index % 8) : 40 * (index % 8) + 60], 40)
        common = rng.choice(vocabulary, 40)
        texts.append(" ".join([*own, *common]))
    return tfidf(texts)


def inertia(vectors: csr_array, labels: np.ndarray) -> float:
    dense = vectors.toarray().astype(np.float64)
    means = {label: dense[labels == label].mean(axis=0) for label in np.unique(labels)}
    return float(sum(((row - means[at]) ** 2).sum() for row, at in zip(dense, labels, strict=True)))


def test_clusters_are_as_tight_as_those_of_scikit_learn() -> None:
    vectors = topics(500)
    ours, theirs = [], []
    for seed in range(5):
        ours.append(inertia(vectors, kmeans.kmeans(vectors, 16, seed)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = KMeans(16, n_init=1, random_state=seed).fit_predict(vectors)
        theirs.append(inertia(vectors, fitted))
    assert np.mean(ours) < 1.02 * np.mean(theirs)


def test_clusters_are_bounded_and_follow_the_topics() -> None:
    vectors = topics(3000)
    labels = kmeans.clusters(vectors, 1)
    sizes = np.bincount(labels)
    assert sizes.max() <= kmeans.MAX_CLUSTER
    assert sizes.min() >= 1
    assert np.array_equal(labels, kmeans.clusters(vectors, 1))
    topic = np.arange(3000) % 8
    main = sum(np.bincount(topic[labels == label]).max() for label in range(len(sizes)))
    assert main / 3000 > 0.9


@pytest.mark.parametrize("files", [1, 2, 300])
def test_files_that_are_alike_are_cut_by_place(files: int) -> None:
    for text in ("", "same words here"):
        labels = kmeans.clusters(tfidf([text] * files), 0)
        assert labels.tolist() == [index // kmeans.MAX_CLUSTER for index in range(files)]
