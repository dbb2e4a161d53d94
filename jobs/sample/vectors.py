"""TF-IDF within a repository: one sparse row for each of its files."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array

from treespan.jobs.sample.terms import FEATURES, TermCounter


def tfidf(texts: Iterable[str]) -> csr_array:
    """Vectors of ``texts``: float32 [texts, terms that two of them share], columns ascending.

    A term weighs (1 + ln tf) * (1 + ln((1 + n) / (1 + df))) for tf times in a text and df of the n
    texts; then each vector has length 1. These are scikit-learn's formulas with ``sublinear_tf``.
    Terms that one text alone has count in that length and are left out afterwards: they make it
    similar to nothing, and are more than half of all.
    """
    counter = TermCounter()
    found = [counter.count(text.encode()) for text in texts]
    lengths = np.array([len(features) for features, _ in found], dtype=np.int64)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    if not starts[-1]:
        return csr_array(np.zeros((len(found), 0), np.float32))
    features = np.concatenate([features for features, _ in found])
    weights = np.log(np.concatenate([counts for _, counts in found]).astype(np.float32)) + 1
    frequency = np.bincount(features, minlength=FEATURES)
    weights *= (np.log((1 + len(found)) / (1 + frequency)) + 1).astype(np.float32)[features]
    rows = np.repeat(np.arange(len(found)), lengths)
    squares = np.bincount(rows, weights.astype(np.float64) ** 2, minlength=len(found))
    weights /= np.sqrt(squares).astype(np.float32)[rows]
    shared = frequency[features] > 1
    column = np.cumsum(frequency > 1) - 1
    kept = np.concatenate(([0], np.cumsum(shared)))[starts]
    return csr_array(
        (weights[shared], column[features[shared]].astype(np.int32), kept.astype(np.int32)),
        shape=(len(found), int(column[-1]) + 1),
    )
