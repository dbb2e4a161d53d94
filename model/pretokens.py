"""Byte-level BPE by a table of words: what ``tokenizers`` gives, several times faster.

BPE never merges across a pretoken (what the pre-tokenizer's regular expressions cut), and code
repeats its pretokens: ``self``, `` =``, eight blanks. So a text is cut by a compiled expression and
each pretoken is looked up; only new ones go through the merges. Python's ``re`` does the cutting,
for ASCII alone: there classes such as ``\\p{L}`` have one meaning in every version of Unicode. Text
with other characters goes to ``tokenizers``, line by line where that cannot change a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, groupby
from typing import Any

from tokenizers import Tokenizer as FastTokenizer

Cut = Callable[[str], Iterable[str]]
"""From ASCII text to its pretokens, in order; joined they are the text."""

MAX_WORDS = 1 << 20
"""Pretokens that are remembered (ours): some 150 MB. A file of random strings must not fill the
memory; when the table is full it begins anew."""

_LONGEST_WORD = 64
"""Longer pretokens are not remembered (ours): they are data, and hardly come again."""

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What ``ByteLevel`` cuts by unless told otherwise."""

_ASCII_OF = {
    "L": "A-Za-z",
    "Lu": "A-Z",
    "Ll": "a-z",
    "Lt": "",
    "Lm": "",
    "Lo": "",
    "M": "",
    "Mn": "",
    "Mc": "",
    "N": "0-9",
    "Nd": "0-9",
    "Nl": "",
    "No": "",
    "P": r"!-#%-*,-/:;?@\[-\]_{}",
    "S": r"$+<=>\^`|~",
}
"""The ASCII characters of Unicode's general categories, as parts of a character class."""

_UNICODE_FORMS = {"NFC", "NFD", "NFKC", "NFKD"}
"""Normalisations that leave ASCII as it is."""

_LINE_END = re.compile(r"(?<=\S)(?=\n)")
_PROBES = [
    before + last
    for before in ("", " ", "a", "1", ".")
    for last in "aZ1.,;:(){}[]<>=+-*/%&|^~!?@$\"'`#\\_é中😀"
]


class PretokenEncoder:
    """Encodes as ``tokenizers`` does, by a table of pretokens that grows as it meets them."""

    def __init__(self, fast: FastTokenizer, cut: Cut) -> None:
        self._fast = fast
        self._cut = cut
        self._words = _Words(fast)
        self._lines_are_apart = all(_ends_before_newline(fast, probe) for probe in _PROBES)
        self._added = _added_in_text(fast)

    @staticmethod
    def of(fast: FastTokenizer) -> PretokenEncoder | None:
        """The encoder for ``fast``; None where its pre-tokenizer has parts that are unknown here."""
        description = json.loads(fast.to_str())
        model, normalizer = description["model"], description.get("normalizer")
        if model["type"] != "BPE" or model.get("dropout"):
            return None
        if normalizer is not None and normalizer["type"] not in _UNICODE_FORMS:
            return None
        cut = cut_of(description.get("pre_tokenizer"))
        return None if cut is None else PretokenEncoder(fast, cut)

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text``, without special tokens."""
        if self._added is not None and self._added.search(text):
            return self._encode_any(text)
        if text.isascii():
            return self._encode_ascii(text)
        if not self._lines_are_apart:
            return self._encode_any(text)
        ids: list[int] = []
        for is_ascii, lines in groupby(_LINE_END.split(text), str.isascii):
            joined = "".join(lines)
            ids += self._encode_ascii(joined) if is_ascii else self._encode_any(joined)
        return ids

    def _encode_ascii(self, text: str) -> list[int]:
        if len(self._words) > MAX_WORDS:
            self._words.clear()
        return list(chain.from_iterable(map(self._words.__getitem__, self._cut(text))))

    def _encode_any(self, text: str) -> list[int]:
        ids: list[int] = self._fast.encode(text, add_special_tokens=False).ids
        return ids


class _Words(dict[str, tuple[int, ...]]):
    """Token ids of each pretoken met so far."""

    def __init__(self, fast: FastTokenizer) -> None:
        self._model = fast.model

    def __missing__(self, word: str) -> tuple[int, ...]:
        spelled = word.translate(_SPELLING)
        ids = tuple(token.id for token in self._model.tokenize(spelled))
        if len(word) <= _LONGEST_WORD:
            self[word] = ids
        return ids


def cut_of(pre_tokenizer: Mapping[str, Any] | None) -> Cut | None:
    """The cut of ASCII text that a pre-tokenizer makes, from its description in ``tokenizer.json``.

    None unless it is byte-level and all its parts are known: regular expressions that isolate or
    keep what they match, and digits.
    """
    if pre_tokenizer is None:
        return None
    parts = (
        pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    )
    if not parts or parts[-1]["type"] != "ByteLevel" or parts[-1]["add_prefix_space"]:
        return None
    cuts = [_cut_of_part(part) for part in parts]
    known = [cut for cut in cuts if cut is not None]
    if len(known) < len(cuts):
        return None
    return _joined([cut for cut in known if cut is not _whole])


def _cut_of_part(part: Mapping[str, Any]) -> Cut | None:
    kind = part["type"]
    if kind == "ByteLevel":
        return _isolating(_GPT2) if part.get("use_regex", True) else _whole
    if kind == "Digits":
        return _isolating(r"\p{N}" if part["individual_digits"] else r"\p{N}+")
    if kind == "Split":
        pattern = part["pattern"].get("Regex")
        if pattern is None:
            pattern = re.escape(part["pattern"]["String"])
        keeps = (part["behavior"], part["invert"])
        # Removing what does not match keeps the matches: of a pattern that matches everything,
        # as those of GPT-4 and its followers do, that is the same as isolating them.
        if keeps in (("Isolated", False), ("Removed", True)):
            return _isolating(pattern)
    return None


def _isolating(pattern: str) -> Cut | None:
    translated = translate(pattern)
    if translated is None:
        return None
    compiled = re.compile(translated, re.ASCII)
    if compiled.groups or compiled.match(""):
        return None
    if _covers(compiled):
        return compiled.findall
    between = re.compile(f"({translated})", re.ASCII)
    return lambda text: filter(None, between.split(text))


def _covers(compiled: re.Pattern[str]) -> bool:
    """Whether every character belongs to some match, so that there is nothing between matches."""
    alone = [chr(code) for code in range(128)]
    around = [f"{a}{b}" for a in "a1 .\n\t" for b in alone] + [f"{b} a" for b in alone]
    return all("".join(compiled.findall(text)) == text for text in (*alone, *around))


def _joined(cuts: list[Cut]) -> Cut:
    if not cuts:
        return _whole
    first, *others = cuts
    if not others:
        return first
    rest = _joined(others)
    return lambda text: chain.from_iterable(map(rest, first(text)))


def _whole(text: str) -> Iterable[str]:
    return (text,) if text else ()


def translate(pattern: str) -> str | None:
    """An Oniguruma pattern as one of Python that matches the same in ASCII text.

    None where it uses a class that is unknown here, or looks behind: then a text cannot be cut
    without what stands before it.
    """
    if "(?<" in pattern or "&&" in pattern:
        return None
    out: list[str] = []
    at, inside = 0, False
    while at < len(pattern):
        character = pattern[at]
        if pattern.startswith((r"\p{", r"\P{"), at):
            end = pattern.index("}", at)
            members = _ASCII_OF.get(pattern[at + 3 : end])
            negated = pattern[at + 1] == "P"
            if members is None or (negated and inside):
                return None
            out.append(members if inside else f"[{'^' if negated else ''}{members}]")
            at = end + 1
            continue
        if character == "\\":
            out.append(pattern[at : at + 2])
            at += 2
            continue
        if character == "[":
            if inside:  # a class within a class, which Python does not know
                return None
            inside = True
        elif character == "]":
            inside = False
        elif character in "^$" and not inside:  # of lines there, of the whole text here
            return None
        out.append(character)
        at += 1
    translated = "".join(out)
    # A class that has lost all its members matches nothing.
    translated = translated.replace("[]", "(?!)").replace("[^]", r"[\x00-\x7f]")
    try:
        re.compile(translated, re.ASCII)
    except re.error:
        return None
    return translated


def _ends_before_newline(fast: FastTokenizer, probe: str) -> bool:
    """Whether a pretoken ends between ``probe``, which ends with no blank, and a line feed."""
    assert fast.pre_tokenizer is not None
    for after in ("\n", "\n\n  b", "\n    b", "\n\t;"):
        ends = {end for _, (_, end) in fast.pre_tokenizer.pre_tokenize_str(probe + after)}
        if len(probe) not in ends:
            return False
    return True


def _added_in_text(fast: FastTokenizer) -> re.Pattern[str] | None:
    """Finds the added tokens that ``tokenizers`` looks for in text, which special ones are not."""
    added = [
        token.content for token in fast.get_added_tokens_decoder().values() if not token.special
    ]
    longest_first = sorted(added, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if added else None


def _spelling() -> dict[int, str]:
    """How byte-level BPE spells each ASCII character (GPT-2's table: what is not printable moves)."""
    hidden = [code for code in range(256) if not (33 <= code < 127 or 161 <= code != 173)]
    return {
        code: chr(256 + hidden.index(code)) if code in hidden else chr(code) for code in range(128)
    }


_SPELLING = _spelling()
