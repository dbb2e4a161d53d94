"""Tokenizers of other models, made fit to encode the parts of a file one by one.

What they were given for whole texts goes: a blank before every text (SentencePiece's, stripped
again when decoding), templates of special tokens, random merges. Their vocabulary and their merges
stay as they are, and so does a normalizer, which the model knows its texts by.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

from treespan.model.tokenizer import Tokenizer
from treespan.platform.errors import UserError


def adopt(serialized: str, special_tokens: Sequence[str], *, add_missing: bool) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``, with ``special_tokens`` in its vocabulary.

    Those that it lacks get the ids after all others, in the order given. Raises ``UserError`` for
    what cannot be read, if one is missing and ``add_missing`` is false, and if ordinary text would
    be encoded as one.
    """
    try:
        values = json.loads(serialized)
        lenient = {**values, **{part: _for_parts(values.get(part)) for part in _STAGES}}
        lenient["model"] = {**values["model"], "dropout": None}
        lenient["added_tokens"] = [_as_special(token) for token in values.get("added_tokens", [])]
        fast = FastTokenizer.from_str(json.dumps({**lenient, "post_processor": None}))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise UserError(
            f"the tokenizer cannot be read ({error}).", "Give a tokenizer.json."
        ) from None
    missing = [token for token in special_tokens if fast.token_to_id(token) is None]
    if missing and not add_missing:
        raise UserError(
            f"the tokenizer has no token {missing[0]!r}.",
            "Choose the FIM format that belongs to it, or set tokenize.add_missing.",
        )
    fast.add_special_tokens(list(special_tokens))
    adopted = Tokenizer(fast.to_str())
    for token in special_tokens:
        if adopted.id_of(token) in adopted.encode(f"{token} {token}"):
            raise UserError(
                f"the tokenizer encodes the text {token!r} as the special token of that name.",
                "Name another token in tokenize.fim_format.",
            )
    return adopted


_STAGES = ("normalizer", "pre_tokenizer", "decoder")
_LISTS = ("normalizers", "pretokenizers", "decoders")


def _for_parts(stage: dict[str, Any] | None) -> dict[str, Any] | None:
    """A stage of the pipeline without what adds a blank to a text or takes one away."""
    if stage is None or stage["type"] in ("Prepend", "Strip"):
        return None
    if stage["type"] == "Metaspace":
        return {**stage, "prepend_scheme": "never", "add_prefix_space": False}
    if stage["type"] == "ByteLevel":
        return {**stage, "add_prefix_space": False}
    for name in _LISTS:
        if name in stage:
            inner = [kept for item in stage[name] if (kept := _for_parts(item)) is not None]
            return {**stage, name: inner}
    return stage


def _as_special(token: dict[str, Any]) -> dict[str, Any]:
    # Others are found in ordinary text. Runs of blanks are meant to be; names of tokens are not.
    return {**token, "special": token["special"] or bool(token["content"].strip())}
