"""Other models' tokenizers: they encode parts of texts, and lose nothing in silence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from treespan.model.fim_format import FimFormat, FimRenderer
from treespan.model.foreign_tokenizer import adopt
from treespan.platform.errors import UserError
from treespan.serve.text_stream import Detokenizer

CODE = ["def area(width):\n    return width * 2  # größe\n", "x = [1, 2]\n\n"] * 20
MARK = "\u2581"


def sentencepiece(*, legacy: bool) -> str:
    """A tokenizer as converters write those of Llama: a blank before each text, byte fallback."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    words = [text.replace(" ", MARK) for text in CODE]
    fast = FastTokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=tokens, show_progress=False)
    fast.train_from_iterator(words, trainer)
    values: dict[str, Any] = json.loads(fast.to_str())
    values["added_tokens"] = values["added_tokens"][:3]
    fast = FastTokenizer.from_str(json.dumps(values))
    if legacy:
        fast.normalizer = normalizers.Sequence(
            [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]
        )
    else:
        fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    fast.decoder = decoders.Sequence(
        [
            decoders.Replace(MARK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    fast.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return str(fast.to_str())


def byte_level(**changes: Any) -> str:
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        show_progress=False,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=alphabet,
    )
    fast.train_from_iterator(CODE, trainer)
    return json.dumps({**json.loads(fast.to_str()), **changes})


AIXCODER = FimFormat.model_validate("aixcoder")
SENTENCEPIECE = [
    adopt(sentencepiece(legacy=legacy), AIXCODER.special_tokens(), add_missing=True)
    for legacy in (True, False)
]


@given(st.text(), st.text())
def test_sentencepiece_encodes_parts_as_they_stand(before: str, after: str) -> None:
    for tokenizer in SENTENCEPIECE:
        parts = tokenizer.encode(before) + tokenizer.encode(after)
        assert tokenizer.decode(parts) == (before + after).replace(MARK, " ")
        lengths = tokenizer.token_bytes
        kept = (before + after).replace(MARK, " ")
        assert sum(lengths[i] for i in parts) == len(kept.encode())


def test_sentencepiece_is_known_to_lose_its_mark() -> None:
    for tokenizer in SENTENCEPIECE:
        assert not tokenizer.is_exact
        assert not tokenizer.keeps(MARK)
        assert tokenizer.keeps("  def f():\n\treturn '日本 🎉'\n")


def test_a_header_keeps_the_blank_that_sentencepiece_put_before_a_text() -> None:
    for tokenizer in SENTENCEPIECE:
        renderer = FimRenderer(AIXCODER, tokenizer)
        header_ids = renderer.header_ids("a.py", "Python")
        assert tokenizer.decode(header_ids).startswith(" # the file path is: a.py\n")
        tokens = renderer.fim([], tokenizer.encode("x"), tokenizer.encode("\n"), header_ids, "spm")
        assert renderer.restore(tokens.tokens, header_ids) == "x\n"


def test_characters_come_whole_from_single_bytes() -> None:
    for tokenizer in SENTENCEPIECE:
        detokenizer = Detokenizer(tokenizer)
        pieces = [detokenizer.push(token) for token in tokenizer.encode("ab日本🎉\n")]
        assert "".join(pieces) + detokenizer.finish() == "ab日本🎉\n"
        assert not any("\ufffd" in piece for piece in pieces)


def test_missing_special_tokens_come_last_or_are_refused() -> None:
    qwen = FimFormat.model_validate("qwen2.5-coder")
    tokenizer = adopt(byte_level(), qwen.special_tokens(), add_missing=True)
    added = [name for name in qwen.special_tokens() if name != qwen.eos]
    assert [tokenizer.id_of(name) for name in added] == list(range(280, 280 + len(added)))
    assert tokenizer.id_of(qwen.eos) == 0
    assert tokenizer.vocab_size == 280 + len(added)
    assert tokenizer.is_exact
    with pytest.raises(UserError, match="has no token"):
        adopt(byte_level(), qwen.special_tokens(), add_missing=False)


def test_names_of_tokens_in_ordinary_text_stay_text() -> None:
    def token(content: str, index: int) -> dict[str, Any]:
        names = ("single_word", "lstrip", "rstrip", "normalized", "special")
        return {"id": index, "content": content, **dict.fromkeys(names, False)}

    # Qwen's FIM tokens are not marked as special; runs of blanks that other models add are text.
    added = [token("<|fim_prefix|>", 280), token(" " * 7, 281)]
    tokenizer = adopt(byte_level(added_tokens=added), ["<|fim_prefix|>"], add_missing=False)
    assert 280 not in tokenizer.encode("a<|fim_prefix|>b")
    assert 281 in tokenizer.encode("a" + " " * 7 + "b")
    assert tokenizer.keeps("a<|fim_prefix|>" + " " * 9)
    with pytest.raises(UserError, match="encodes the text 'x' as"):
        adopt(byte_level(), ["x"], add_missing=True)


def test_a_tokenizer_that_normalises_is_known_by_it() -> None:
    tokenizer = adopt(byte_level(normalizer={"type": "NFC"}), ["<s>"], add_missing=True)
    assert not tokenizer.is_exact
    assert tokenizer.keeps("é")
    assert not tokenizer.keeps("e\u0301")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"model": {"type": "Other"}}'])
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        adopt(text, [], add_missing=True)
