"""Byte-level BPE: trained here, or loaded from a ``tokenizer.json``.

Text that merely looks like a special token (``"<|fim_middle|>"`` in a source file) is encoded as
ordinary text: only ``Tokenizer.id_of`` yields special tokens. Encoding then decoding gives back
any text exactly, if the tokenizer was trained here (``is_exact`` says whether it does so).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer

from treespan.model.pretokens import PretokenEncoder
from treespan.platform.errors import UserError

_LOWER = r"[\p{Ll}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
WORDS = "|".join(
    (
        # A part of an identifier with the blank or the mark before it: " self", ".get", "_Name".
        rf"(?:[^\s\p{{L}}\p{{M}}\p{{N}}]| )?(?:\p{{Lu}}+{_LOWER}*|{_LOWER}+)",
        r"\p{N}",
        r" ?[^\s\p{L}\p{M}\p{N}]+",
        # Line breaks with the indentation after them, but for a blank that the next word takes.
        r"\s+(?= [^\s\p{N}])",
        r"\s+",
    )
)
"""What BPE may merge: the pieces that this pattern cuts a text into (ours; docs/tokenizer.md has
what others gave). No piece has a line break after anything but whitespace, so that the end of a
line's code is always the end of a token; and what it cuts never depends on what was before."""

_PROBES = (
    "".join(map(chr, range(256))),
    " a  b\t\tc\n\n  d\r\n\re \n",
    "e\u0301 \u00e9 \ufb01 \u2581 \u2028 \ufeff \ufffd 日本語 🎉👩‍👩‍👧 \U0010ffff",
    "x",
)
"""Texts that a lossy tokenizer changes: control characters, blanks, decomposed letters, ligatures,
SentencePiece's mark for a blank, characters of up to four bytes."""

_BYTE_FALLBACK = re.compile(r"<0x[0-9A-F]{2}>")


class Tokenizer:
    """Text to token ids and back, without ever adding or reading special tokens by itself."""

    def __init__(self, serialized: str) -> None:
        try:
            self._fast = FastTokenizer.from_str(serialized)
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise UserError(
                f"the tokenizer cannot be read ({error}).", "Give a tokenizer.json."
            ) from None
        self._fast.encode_special_tokens = True
        self._fast.no_padding()
        self._fast.no_truncation()
        self._by_pretokens = PretokenEncoder.of(self._fast)
        self.serialized = serialized

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[str]]:
        return Tokenizer, (self.serialized,)

    @cached_property
    def vocab_size(self) -> int:
        """The end of the ids, special tokens included; in a vocabulary of our own none is unused."""
        return 1 + max(self.ids.values(), default=-1)

    @cached_property
    def is_exact(self) -> bool:
        """Whether decoding gives back texts as they were, as far as a few hard ones can tell.

        Not so with a tokenizer that normalises, as Qwen's does (NFC), or that writes blanks as
        a character that texts may have themselves, as SentencePiece does.
        """
        return all(self.keeps(probe) for probe in _PROBES)

    def keeps(self, text: str) -> bool:
        """Whether encoding then decoding gives back ``text``."""
        return self.decode(self.encode(text)) == text

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of every token, special ones included, by its name."""
        return dict(self._fast.get_vocab(with_added_tokens=True))

    def has(self, token: str) -> bool:
        """Whether the vocabulary has ``token``, by its name."""
        return self._fast.token_to_id(token) is not None

    def id_of(self, token: str) -> int:
        """The id of a special token. Raises ``UserError`` if the vocabulary lacks it."""
        found = self._fast.token_to_id(token)
        if found is None:
            raise UserError(
                f"the tokenizer has no token {token!r}.",
                "Use the FIM format that belongs to this tokenizer.",
            )
        return int(found)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``."""
        if self._by_pretokens is not None:
            return self._by_pretokens.encode(text)
        ids: list[int] = self._fast.encode(text, add_special_tokens=False).ids
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        if self._by_pretokens is not None:
            return [self._by_pretokens.encode(text) for text in texts]
        encoded = self._fast.encode_batch_fast(list(texts), add_special_tokens=False)
        return [item.ids for item in encoded]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and, for each, the character range it covers."""
        encoded = self._fast.encode(text, add_special_tokens=False)
        return encoded.ids, encoded.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``, special tokens spelled out; broken UTF-8 becomes U+FFFD."""
        return str(self._fast.decode(list(ids), skip_special_tokens=False))

    @cached_property
    def token_bytes(self) -> NDArray[np.int64]:
        """The number of bytes that each id stands for: int64 [vocab_size]; 0 for special tokens."""
        added = self._fast.get_added_tokens_decoder()
        size = len if isinstance(self._fast.decoder, decoders.ByteLevel) else _sentencepiece_bytes
        lengths = []
        for index in range(self.vocab_size):
            piece = self._fast.id_to_token(index)
            if index in added:
                token = added[index]
                lengths.append(0 if token.special else len(token.content.encode()))
            else:
                lengths.append(0 if piece is None else size(piece))
        return np.array(lengths, np.int64)


def _sentencepiece_bytes(piece: str) -> int:
    return 1 if _BYTE_FALLBACK.fullmatch(piece) else len(piece.replace("\u2581", " ").encode())


def train(
    texts: Iterable[str],
    *,
    vocab_size: int,
    special_tokens: Sequence[str],
    pattern: str = WORDS,
) -> Tokenizer:
    """A byte-level BPE tokenizer of ``vocab_size`` ids; special tokens take the first ids.

    Texts are taken one by one: memory grows with the number of different pieces that they have
    by ``pattern``. Digits stand alone, so that numbers are spelled the same everywhere. Raises
    ``UserError`` if the vocabulary cannot even hold the 256 bytes and the special tokens.
    """
    least = 256 + len(special_tokens)
    if vocab_size < least:
        raise UserError(f"vocab_size {vocab_size} is too small.", f"Give at least {least}.")
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fast.train_from_iterator(texts, trainer)
    return Tokenizer(fast.to_str())
