"""A byte-level BPE vocabulary: as the keys ``tokenizer.*`` of a GGUF, and as a ``tokenizer.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gguf import Keys, TokenType

from treespan.model.fim_format import FimFormat, FimRenderer, format_of_tokens
from treespan.model.gguf.pre_tokenizers import (
    NORMALIZES,
    PATTERNS,
    SYNONYMS,
    WHOLE_WORDS,
    described,
    nearest,
)
from treespan.model.tokenizer import Tokenizer
from treespan.platform.config import build
from treespan.platform.errors import UserError

FIM_FORMAT = "treespan.fim_format"
"""Our own key: the FIM format of a checkpoint, as JSON."""

_KEYS = Keys.Tokenizer
_SPECIAL = (TokenType.CONTROL, TokenType.UNKNOWN)


def tokenizer_json(fields: Mapping[str, Any], where: str) -> str:
    """The ``tokenizer.json`` of a GGUF's ``fields``: the one it carries, or one made of its lists.

    Raises ``UserError`` unless it is byte-level BPE cut by expressions that are known here.
    """
    if carried := fields.get(_KEYS.HF_JSON):
        return str(carried)
    kind = fields.get(_KEYS.MODEL)
    if kind != "gpt2":
        raise UserError(
            f"{where}: its vocabulary is of the kind {kind!r}; only byte-level BPE ('gpt2') is "
            f"read from a GGUF.",
            "Give the model's Hugging Face folder, which has a tokenizer.json.",
        )
    pre = str(fields.get(_KEYS.PRE, "default"))
    pre_tokenizer = described(pre)
    if pre_tokenizer is None:
        raise UserError(
            f"{where}: how it cuts text ({_KEYS.PRE} {pre!r}) is not known here, only "
            f"{', '.join(sorted({*PATTERNS, *SYNONYMS}))}.",
            "Give the model's Hugging Face folder, which has a tokenizer.json.",
        )
    name = SYNONYMS.get(pre, pre)
    tokens, merges = _listed(fields, _KEYS.LIST, where), _listed(fields, _KEYS.MERGES, where)
    kinds = fields.get(_KEYS.TOKEN_TYPE) or [TokenType.NORMAL] * len(tokens)
    used = [
        (index, token, kind)
        for index, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind != TokenType.UNUSED
    ]
    values = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(index, token, special=kind in _SPECIAL)
            for index, token, kind in used
            if kind in (*_SPECIAL, TokenType.USER_DEFINED)
        ],
        "normalizer": {"type": "NFC"} if name in NORMALIZES else None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": False,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": name in WHOLE_WORDS,
            "vocab": {token: index for index, token, _ in used},
            "merges": [merge.split(" ") for merge in merges],
        },
    }
    return json.dumps(values, ensure_ascii=False)


def _listed(fields: Mapping[str, Any], key: str, where: str) -> list[str]:
    found = fields.get(key)
    if not isinstance(found, list):
        raise UserError(f"{where}: {key} is missing.", "Convert the model to GGUF again.")
    return found


def _added(index: int, token: str, *, special: bool) -> dict[str, Any]:
    return {
        "id": index,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def fim_format_of(fields: Mapping[str, Any], where: str) -> FimFormat | None:
    """The FIM format of a GGUF: ours if it was exported here, else a shipped one by its tokens.

    None where not just one shipped format has all of its special tokens among those of the file.
    """
    if carried := fields.get(FIM_FORMAT):
        return build(FimFormat, json.loads(carried), where=f"{where}: {FIM_FORMAT}")
    tokens, kinds = fields.get(_KEYS.LIST), fields.get(_KEYS.TOKEN_TYPE)
    if not tokens or not kinds:
        return None
    special = {token for token, kind in zip(tokens, kinds, strict=True) if kind != TokenType.NORMAL}
    return format_of_tokens(special.__contains__)


def vocabulary_fields(
    tokenizer: Tokenizer, fim_format: FimFormat, vocab_size: int
) -> tuple[dict[str, Any], float]:
    """The keys of a GGUF for ``tokenizer``, filled up to ``vocab_size`` ids with unused ones.

    The second is the share of tokens that llama.cpp cuts differently (``nearest``). The whole
    ``tokenizer.json`` goes with it under the key that GGUF's specification has for it. Raises
    ``UserError`` for a vocabulary that is not byte-level BPE.
    """
    values = json.loads(tokenizer.serialized)
    model, decoder = values["model"], values.get("decoder") or {}
    if model["type"] != "BPE" or decoder.get("type") != "ByteLevel":
        raise UserError(
            "the tokenizer is no byte-level BPE, which is all that is written to a GGUF.",
            "Export with --format hf, and convert that folder with llama.cpp.",
        )
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    kinds = [TokenType.UNUSED] * vocab_size
    for token, index in model["vocab"].items():
        tokens[index], kinds[index] = token, TokenType.NORMAL
    for added in values["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], kinds[added["id"]] = added["content"], kind
    pre, differing = nearest(tokenizer.serialized)
    renderer = FimRenderer(fim_format, tokenizer)
    fields = {
        _KEYS.MODEL: "gpt2",
        _KEYS.PRE: pre,
        _KEYS.LIST: tokens,
        _KEYS.TOKEN_TYPE: [int(kind) for kind in kinds],
        _KEYS.MERGES: [
            merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]
        ],
        # llama.cpp wants one in any case; whether texts begin with it is said below.
        _KEYS.BOS_ID: renderer.eos if renderer.bos is None else renderer.bos,
        _KEYS.EOS_ID: renderer.eos,
        _KEYS.PAD_ID: renderer.pad,
        _KEYS.ADD_BOS: renderer.bos is not None,
        _KEYS.ADD_EOS: False,
        _KEYS.FIM_PRE_ID: tokenizer.id_of(fim_format.prefix),
        _KEYS.FIM_SUF_ID: tokenizer.id_of(fim_format.suffix),
        _KEYS.FIM_MID_ID: tokenizer.id_of(fim_format.middle),
        _KEYS.FIM_PAD_ID: renderer.pad,
        _KEYS.HF_JSON: tokenizer.serialized,
        FIM_FORMAT: json.dumps(fim_format.to_dict(), sort_keys=True, ensure_ascii=False),
    }
    if fim_format.end_of_middle is not None:
        fields[_KEYS.EOT_ID] = renderer.end_of_middle
    if fim_format.file_sep is not None:
        fields[_KEYS.FIM_SEP_ID] = tokenizer.id_of(fim_format.file_sep)
    return fields, differing
