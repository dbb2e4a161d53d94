"""How llama.cpp cuts text before byte-level BPE: sets of regular expressions by name.

A GGUF names one of those compiled into llama.cpp and cannot bring its own. ``tokenizers`` can say
any of them in a ``tokenizer.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_MARKS_AND_BLANKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_MARKS_ALONE_AND_BLANKS = r" ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
_CAMEL_CASE = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
)
_PATH_MARKS_AND_BLANKS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

PATTERNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gpt-2": (_GPT2,),
        "starcoder": (r"\p{N}", _GPT2),
        "llama-bpe": (
            rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_MARKS_AND_BLANKS}",
        ),
        "qwen2": (rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_MARKS_AND_BLANKS}",),
        "seed-coder": (
            rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_MARKS_ALONE_AND_BLANKS}",
        ),
        "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"),
        "gpt-4o": (
            "|".join(
                (
                    *(f"{word}{_CONTRACTION}?" for word in _CAMEL_CASE),
                    r"\p{N}{1,3}",
                    _PATH_MARKS_AND_BLANKS,
                )
            ),
        ),
        "tekken": ("|".join((*_CAMEL_CASE, r"\p{N}", _PATH_MARKS_AND_BLANKS)),),
    }
)
"""llama.cpp's expressions (src/llama-vocab.cpp), applied one after the other, by its names."""

SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "smollm": "starcoder",
        "refact": "starcoder",
        "command-r": "starcoder",
        "codeshell": "starcoder",
        "llama3": "llama-bpe",
        "llama-v3": "llama-bpe",
        "stablelm2": "qwen2",
        "deepseek-r1-qwen": "qwen2",
        "llama4": "gpt-4o",
    }
)
"""Other names for the same expressions."""

NORMALIZES = frozenset({"qwen2"})
"""Names whose models were trained on texts in form NFC, which llama.cpp leaves out."""

WHOLE_WORDS = frozenset({"llama-bpe"})
"""Names with which a piece that is a token stays whole, whatever the merges say."""


def described(name: str) -> dict[str, Any] | None:
    """The ``pre_tokenizer`` of a ``tokenizer.json`` for one of llama.cpp's names; None if unknown."""
    patterns = PATTERNS.get(SYNONYMS.get(name, name))
    if patterns is None:
        return None
    splits = [
        {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        }
        for pattern in patterns
    ]
    return {"type": "Sequence", "pretokenizers": [*splits, _byte_level(use_regex=False)]}


_PROBES = ("pretokens.py", "transformer.py", "comments.yaml")
"""Files of ``treespan.model`` that differences are counted in (ours): some 40 kB of code."""


@lru_cache(maxsize=8)
def nearest(serialized: str) -> tuple[str, float]:
    """llama.cpp's name that cuts most like a ``tokenizer.json`` does, and how much differs.

    The second is 0 where the expressions are the same. Otherwise it is the share of the tokens of
    some files of this package that llama.cpp would cut differently.
    """
    values = json.loads(serialized)
    patterns = _patterns(values["pre_tokenizer"])
    whole = bool(values["model"].get("ignore_merges"))
    for name, known in PATTERNS.items():
        if patterns == known and whole == (name in WHOLE_WORDS):
            return name, 0.0
    package = files("treespan.model")
    code = "".join(package.joinpath(name).read_text(encoding="utf-8") for name in _PROBES)
    ours = _pieces(serialized, code)
    shares = {}
    for name in PATTERNS:
        if whole == (name in WHOLE_WORDS):
            other = json.dumps({**values, "pre_tokenizer": described(name)})
            shares[name] = 1 - len(ours & _pieces(other, code)) / len(ours)
    return min(shares.items(), key=lambda item: item[1])


def _pieces(serialized: str, text: str) -> set[tuple[int, int]]:
    """Where the tokens of ``text`` begin and end."""
    return set(FastTokenizer.from_str(serialized).encode(text, add_special_tokens=False).offsets)


def _patterns(pre_tokenizer: Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """The expressions of a byte-level pre-tokenizer; None where it does something else."""
    if pre_tokenizer is None:
        return None
    parts = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    found = []
    for part in parts:
        if part["type"] == "ByteLevel" and not part["add_prefix_space"]:
            found += [_GPT2] if part.get("use_regex", True) else []
        elif part["type"] == "Digits" and part["individual_digits"]:
            found.append(r"\p{N}")
        elif part["type"] == "Split" and (part["behavior"], part["invert"]) == ("Isolated", False):
            found.append(part["pattern"].get("Regex"))
        else:
            return None
    return tuple(found)


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }
