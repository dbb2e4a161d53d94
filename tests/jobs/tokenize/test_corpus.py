"""The sample a tokenizer learns from: balanced by language, and the same whatever the partitions."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.jobs.tokenize.corpus import Corpus, language_shares
from treespan.platform.schemas import DOCUMENTS, FILES, batches
from treespan.platform.store import Store

FILES_OF = {
    "Python": [f"x = {i}\n" * 50 for i in range(60)],
    "Go": [f"var x = {i}\n" * 10 for i in range(8)],
}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two partitions; the documents leave out every fourth file."""
    store = Store(str(tmp_path))
    rows = [
        {"file_id": f"{language}-{i}", "language": language, "content": text, "size": len(text)}
        for language, texts in FILES_OF.items()
        for i, text in enumerate(texts)
    ]
    names = ("a.arrow", "b.arrow")
    for name, part in zip(names, (rows[::2], rows[1::2]), strict=True):
        store.write_table(f"files/{name}", FILES, batches(FILES, part, rows_per_batch=7))
        kept = [row["file_id"] for number, row in enumerate(part) if number % 4]
        documents = [{"file_ids": kept[:5]}, {"file_ids": kept[5:]}]
        store.write_table(f"documents/{name}", DOCUMENTS, batches(DOCUMENTS, documents))
    listed = (tuple(f"{folder}/{name}" for name in names) for folder in ("files", "documents"))
    return Corpus(store, *listed)


def test_only_listed_files_come_and_are_counted(corpus: Corpus) -> None:
    texts = list(corpus.texts(lambda file_id, language: True))
    assert len(texts) == 50
    sizes = Counter[str]()
    for text in texts:
        sizes[text.language] += len(text.text)
    assert corpus.language_bytes() == sizes
    asked = []
    chosen = corpus.texts(lambda file_id, language: asked.append(file_id) or language == "Go")
    assert {text.language for text in chosen} == {"Go"}
    assert len(asked) == 50


SIZES = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**9), min_size=1)


@given(SIZES, st.integers(1, 10**10), st.floats(0, 1))
def test_shares_fill_the_sample(sizes: dict[str, int], wanted: int, exponent: float) -> None:
    shares = language_shares(sizes, wanted, exponent)
    assert set(shares) == {language for language, size in sizes.items() if size}
    assert all(0 < share <= 1 + 1e-9 for share in shares.values())
    taken = {language: share * sizes[language] for language, share in shares.items()}
    assert sum(taken.values()) == pytest.approx(min(wanted, sum(sizes.values())), rel=1e-6)
    rates = [
        taken[language] / sizes[language] ** exponent for language in taken if shares[language] < 1
    ]
    assert rates == pytest.approx(rates[:1] * len(rates), rel=1e-6)


def test_a_rare_language_weighs_more_than_its_share() -> None:
    sizes = {"Python": 1_000_000, "Go": 10_000}
    assert language_shares(sizes, 110_000, 1)["Go"] == pytest.approx(110_000 / 1_010_000)
    even = language_shares(sizes, 55_000, 0.5)
    assert even["Go"] * 10_000 == pytest.approx(55_000 / 11)
    assert language_shares(sizes, 50_000, 0) == {"Go": 1, "Python": 0.04}
