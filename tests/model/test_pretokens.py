"""The table of words against ``tokenizers`` itself, for the pre-tokenizers of well-known models."""

from __future__ import annotations

import json
import re
import sysconfig
import unicodedata
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from treespan.model import pretokens
from treespan.model.pretokens import PretokenEncoder, translate
from treespan.model.tokenizer import WORDS

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(pattern), behavior="isolated")


def _bytes(*, use_regex: bool) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


PRE_TOKENIZERS = {
    "ours": [_split(WORDS), _bytes(use_regex=False)],
    "digits": [_split(r"\d"), _bytes(use_regex=True)],
    "gpt2": [_bytes(use_regex=True)],
    "starcoder2": [pre_tokenizers.Digits(individual_digits=True), _bytes(use_regex=True)],
    "qwen2.5": [_split(QWEN), _bytes(use_regex=False)],
    "o200k": [_split(O200K), _bytes(use_regex=False)],
    "kept": [
        pre_tokenizers.Split(Regex(QWEN), behavior="removed", invert=True),
        _bytes(use_regex=False),
    ],
    "deepseek": [
        _split(r"[\r\n]"),
        _split(r"\s?\p{L}+"),
        _split(r"\s?\p{P}+"),
        pre_tokenizers.Digits(individual_digits=True),
        _bytes(use_regex=False),
    ],
}
SOURCE = Path(sysconfig.get_path("stdlib"), "argparse.py").read_text()
CODE = st.text("ab Z_09.,;:(){}[]='\"#+-\\/\n\t\r\x1c\x0b", max_size=60)
ANY = st.text(st.sampled_from([*"ab Z1;'\n\r\t ", "é", "中", "\u0301", "\u2003", "😀", "ſ", "٣"]))


@cache
def trained(name: str) -> Tokenizer:
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.Sequence(PRE_TOKENIZERS[name])
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=["<s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fast.train_from_iterator([SOURCE], trainer)
    fast.encode_special_tokens = True
    return fast


@cache
def encoder(name: str) -> PretokenEncoder:
    found = PretokenEncoder.of(trained(name))
    assert found is not None
    return found


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
class TestEqualsTokenizers:
    def test_code(self, name: str) -> None:
        assert encoder(name).encode(SOURCE) == trained(name).encode(SOURCE).ids

    @given(text=CODE)
    def test_any_ascii(self, name: str, text: str) -> None:
        assert encoder(name).encode(text) == trained(name).encode(text).ids

    @given(lines=st.lists(CODE | ANY, max_size=8), end=st.sampled_from(["\n", "\n\n", ";\n    "]))
    def test_any_text(self, name: str, lines: list[str], end: str) -> None:
        text = end.join(lines)
        assert encoder(name).encode(text) == trained(name).encode(text).ids


def test_a_full_table_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretokens, "MAX_WORDS", 3)
    found = PretokenEncoder.of(trained("gpt2"))
    assert found is not None
    for line in SOURCE.splitlines():
        assert found.encode(line) == trained("gpt2").encode(line).ids
    assert len(found._words) < 100


def test_special_tokens_in_text_are_text() -> None:
    assert encoder("gpt2").encode("<s>") == trained("gpt2").encode("<s>").ids
    assert trained("gpt2").token_to_id("<s>") not in encoder("gpt2").encode("<s>")


def test_added_tokens_are_found_in_text() -> None:
    fast = Tokenizer.from_str(trained("gpt2").to_str())
    fast.add_tokens(["<tool>", "    "])
    fast.encode_special_tokens = True
    found = PretokenEncoder.of(fast)
    assert found is not None
    for text in ("a <tool> b", "if x:\n        return", "plain"):
        assert found.encode(text) == fast.encode(text).ids
    assert fast.token_to_id("<tool>") in found.encode("a <tool> b")


@pytest.mark.parametrize(
    "change",
    [
        lambda fast: setattr(fast, "normalizer", normalizers.Lowercase()),
        lambda fast: setattr(fast, "pre_tokenizer", pre_tokenizers.Metaspace()),
        lambda fast: setattr(fast, "pre_tokenizer", _bytes_with_prefix()),
        lambda fast: setattr(
            fast,
            "pre_tokenizer",
            pre_tokenizers.Sequence([_split(r"(?<=a)b|."), _bytes(use_regex=False)]),
        ),
    ],
)
def test_what_is_unknown_is_left_to_tokenizers(change: object) -> None:
    fast = Tokenizer.from_str(trained("gpt2").to_str())
    change(fast)  # type: ignore[operator]
    assert PretokenEncoder.of(fast) is None


def _bytes_with_prefix() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=True)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            r"(?<!a)b",
            r"[a-z&&[^b]]",
            r"[[:alpha:]]",
            r"\p{Han}+",
            r"^a",
            r"\h+",
            r"[\P{L}]",
            r"a|$",
        ),
        *(
            r"\p{N}{1,3}+",
            r"a{3}?",
            r"(?i:\p{Lu})",
            r"\A\s",
            r"a\b",
            r"(?m:a.)",
            r"(?#c)a",
            r"a*?",
            r"[a",
        ),
    ],
)
def test_patterns_that_python_reads_otherwise_are_refused(pattern: str) -> None:
    assert translate(pattern) is None


@pytest.mark.parametrize(
    "patterns",
    [
        [_split(r"[\[]+|[\w]+")],
        [_split(r"[^\[]+|[\s\S]")],
        [_split(r"(?!foo)[\s\S]")],
        [_split(r"[^\p{Lm}]+|\p{Lm}")],
        [_split(r"'(?i:[sdmt]|ll|ve|re)|[A-Z]?[a-z]+|\D")],
        [pre_tokenizers.Split(Regex(r"\w+"), behavior="removed", invert=True)],
        [pre_tokenizers.Split(Regex(r".+"), behavior="removed", invert=True)],
        [pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)],
    ],
)
@given(text=CODE | st.text("fooBar[]('LL's 12\n)", max_size=30))
def test_unusual_patterns(patterns: list[pre_tokenizers.PreTokenizer], text: str) -> None:
    """They cut as the library does, or are left to it."""
    fast = Tokenizer.from_str(trained("gpt2").to_str())
    fast.pre_tokenizer = pre_tokenizers.Sequence([*patterns, _bytes(use_regex=False)])
    found = PretokenEncoder.of(fast)
    assert found is None or found.encode(text) == fast.encode(text).ids


@pytest.mark.parametrize("name", pretokens._ASCII_OF)
def test_classes_are_those_of_unicode(name: str) -> None:
    ascii_characters = [chr(code) for code in range(128)]
    pattern = translate(rf"[\p{{{name}}}]")
    assert pattern is not None
    found = [c for c in ascii_characters if re.fullmatch(pattern, c)]
    assert found == [c for c in ascii_characters if unicodedata.category(c).startswith(name)]


def test_an_encoder_is_made_from_a_description_alone() -> None:
    description = json.loads(trained("qwen2.5").to_str())["pre_tokenizer"]
    cut = pretokens.cut_of(description)
    assert cut is not None
    assert list(cut("self.x = 10;\n\n    return")) == [
        *("self", ".x", " =", " ", "1", "0", ";\n\n", "   ", " return"),
    ]
