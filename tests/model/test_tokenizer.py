"""The tokenizer: exact round trips, special tokens only on demand, equal training gives equal bytes."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treespan.model.fim_format import FimFormat
from treespan.model.tokenizer import Tokenizer, train
from treespan.platform.errors import UserError

CORPUS = [
    "def area(width, height):\n    return width * height\n",
    "for i in range(10):\n        print(i, 1234, 'größe')\n",
] * 20
SPECIAL = FimFormat().special_tokens()
TOKENIZER = train(CORPUS, vocab_size=400, special_tokens=SPECIAL)


@given(st.text())
def test_any_text_round_trips(text: str) -> None:
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert [ids] == TOKENIZER.encode_many([text])
    assert ids == TOKENIZER.encode_with_offsets(text)[0]
    lengths = TOKENIZER.token_bytes
    assert sum(lengths[i] for i in ids) == len(text.encode())


@pytest.mark.parametrize("token", SPECIAL)
def test_text_that_looks_special_is_not(token: str) -> None:
    ids = TOKENIZER.encode(f"x = '{token}'")
    assert TOKENIZER.id_of(token) not in ids
    assert TOKENIZER.decode(ids) == f"x = '{token}'"


def test_special_tokens_come_first_and_digits_stand_alone() -> None:
    assert [TOKENIZER.id_of(token) for token in SPECIAL] == list(range(len(SPECIAL)))
    assert [TOKENIZER.decode([i]) for i in TOKENIZER.encode("123")] == ["1", "2", "3"]


def test_training_is_deterministic_and_serializes() -> None:
    again = train(iter(CORPUS), vocab_size=400, special_tokens=SPECIAL)
    assert again.serialized == TOKENIZER.serialized
    assert pickle.loads(pickle.dumps(again)).encode("def f") == TOKENIZER.encode("def f")


def test_mistakes() -> None:
    with pytest.raises(UserError, match="too small"):
        train(CORPUS, vocab_size=100, special_tokens=SPECIAL)
    with pytest.raises(UserError, match="no token"):
        TOKENIZER.id_of("<nope>")
    with pytest.raises(UserError, match="cannot be read"):
        Tokenizer("{}")
