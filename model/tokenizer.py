"""Byte-level BPE: trained here, or loaded from a ``tokenizer.json``.

Text that merely looks like a special token (``"<|fim_middle|>"`` in a source file) is encoded as
ordinary text: only ``Tokenizer.id_of`` yields special tokens. Encoding then decoding gives back
any text exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as FastTokenizer

from treespan.model.pretokens import PretokenEncoder
from treespan.platform.errors import UserError


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
        """Number of ids, special tokens included; ids run from 0 to it, exclusive."""
        return int(self._fast.get_vocab_size(with_added_tokens=True))

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
        """Token ids of each text; faster than one by one."""
        encoded = self._fast.encode_batch_fast(list(texts), add_special_tokens=False)
        return [item.ids for item in encoded]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and, for each, the character range it covers."""
        encoded = self._fast.encode(text, add_special_tokens=False)
        return encoded.ids, encoded.offsets

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``, special tokens spelled out; broken UTF-8 becomes U+FFFD."""
        return str(self._fast.decode(list(ids), skip_special_tokens=False))

    def token_bytes(self) -> list[int]:
        """The number of bytes that each id stands for: [vocab_size]; 0 for special tokens."""
        special = set(self._fast.get_added_tokens_decoder())
        pieces = (self._fast.id_to_token(index) for index in range(self.vocab_size))
        # A byte-level piece has one character per byte.
        return [
            0 if index in special or piece is None else len(piece)
            for index, piece in enumerate(pieces)
        ]


def train(texts: Iterable[str], *, vocab_size: int, special_tokens: Sequence[str]) -> Tokenizer:
    """A byte-level BPE tokenizer of ``vocab_size`` ids; special tokens take the first ids.

    Digits stand alone (numbers are then spelled the same everywhere); runs of whitespace stay whole
    apart from the last blank, which goes with the next word, so that indentation is one token.
    Raises ``UserError`` if the vocabulary cannot even hold the 256 bytes and the special tokens.
    """
    least = 256 + len(special_tokens)
    if vocab_size < least:
        raise UserError(f"vocab_size {vocab_size} is too small.", f"Give at least {least}.")
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\d"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
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
