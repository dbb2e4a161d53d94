"""The tokenizer: exact round trips, special tokens only on demand, equal training gives equal bytes."""

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

from treespan.model.fim_format import FimFormat
from treespan.model.tokenizer import WORDS, Tokenizer, train
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


HARD = st.text(
    st.sampled_from("\0\t\n\r \x0b\x85\u00a0\u2028aZé\u0301_.(5²٣日\U0001f389\U0010ffff")
)
"""Blanks of every kind, marks, digits of other scripts, characters of one to four bytes."""


@given(HARD)
def test_hard_texts_round_trip(text: str) -> None:
    ids, offsets = TOKENIZER.encode_with_offsets(text)
    assert TOKENIZER.decode(ids) == text
    assert TOKENIZER.keeps(text)
    covered = sorted({place for start, end in offsets for place in range(start, end)})
    assert covered == list(range(len(text)))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16-le"])
def test_every_byte_value_round_trips(encoding: str) -> None:
    text = bytes(range(256)).decode(encoding, errors="replace")
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
    assert TOKENIZER.is_exact


@given(HARD)
def test_the_end_of_a_lines_code_is_the_end_of_a_token(text: str) -> None:
    ids, offsets = TOKENIZER.encode_with_offsets(text)
    for start, end in offsets:
        piece = text[start:end]
        assert not any(not a.isspace() and b == "\n" for a, b in pairwise(piece))
    for place, (before, after) in enumerate(pairwise(text), start=1):
        if after == "\n" and not before.isspace():
            assert TOKENIZER.encode(text[:place]) + TOKENIZER.encode(text[place:]) == ids


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("self.getHTTPServer(x2)", ["self", ".get", "HTTPServer", "(x", "2", ")"]),
        ("    if not a_b:\n\n        return -12\n", None),
        ("x = 1", ["x", " =", " ", "1"]),
        ("\tf\n\t\tg\r\n", ["\t", "f", "\n\t\t", "g", "\r\n"]),
        ("a\n    b", ["a", "\n   ", " b"]),
        ("n  = ٣٤", ["n", " ", " =", " ", "٣", "٤"]),
        ("e\u0301te\u0301 naïve", ["e\u0301te\u0301", " naïve"]),
    ],
)
def test_what_may_become_a_token(text: str, pieces: list[str] | None) -> None:
    cut = [text[a:b] for _, (a, b) in Split(Regex(WORDS), "isolated").pre_tokenize_str(text)]
    assert "".join(cut) == text
    assert pieces is None or cut == pieces


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
