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
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        if self._added is not None and fast.normalizer is not None:
            # An added token may be found in what a line becomes, across its end.
            self._lines_are_apart = False

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
    if any(part["type"] == "ByteLevel" for part in parts[:-1]):
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
        if (part["behavior"], part["invert"]) == ("Isolated", False):
            return _isolating(pattern)
        if (part["behavior"], part["invert"]) == ("Removed", True):
            matches = _compiled(pattern)
            return None if matches is None else matches.findall
    return None


def _isolating(pattern: str) -> Cut | None:
    compiled = _compiled(pattern)
    if compiled is None:
        return None
    with_gaps = re.compile(f"({compiled.pattern})", re.ASCII)

    def cut(text: str) -> Iterable[str]:
        found = compiled.findall(text)
        # Most patterns leave nothing between their matches, and finding is faster than splitting.
        if sum(map(len, found)) == len(text):
            return found
        return filter(None, with_gaps.split(text))

    return cut


def _compiled(pattern: str) -> re.Pattern[str] | None:
    translated = translate(pattern)
    if translated is None:
        return None
    compiled = re.compile(translated, re.ASCII)
    return None if compiled.groups or compiled.match("") else compiled


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

    Only what is surely read alike is let through: groups without names, look-ahead, plain
    quantifiers, classes, and a few escapes. None for anything else, and for what looks at the text
    before it: then a line could not be cut without the one above.
    """
    out: list[str] = []
    members: list[str] | None = None  # of the class that is open
    for piece in _PIECE.findall(pattern):
        if members is None:
            if piece == "[":
                members = []
            elif piece.startswith((r"\p", r"\P")):
                known = _ASCII_OF.get(piece[3:-1])
                if known is None:
                    return None
                out.append(_class([known], negated=piece[1] == "P"))
            elif _is_alike(piece):
                out.append(piece)
            else:
                return None
        elif piece == "]":
            negated = members[:1] == ["^"]
            out.append(_class(members[negated:], negated=negated))
            members = None
        elif piece.startswith(r"\p"):
            known = _ASCII_OF.get(piece[3:-1])
            if known is None:
                return None
            members.append(known)
        elif piece in ("[", "&&") or piece.startswith(r"\P") or not _is_alike_in_class(piece):
            return None
        else:
            members.append(piece)
    translated = "".join(out)
    if members is not None or (r"(?i:" in translated and _FOLDED_CLASS.search(pattern)):
        return None
    try:
        re.compile(translated, re.ASCII)
    except re.error:
        return None
    return translated


_PIECE = re.compile(
    r"\\[pP]\{\w+\}|\\.|\(\?(?:[:=!]|i:)?|\{[^}]*\}[+?]?|[*+?][+?]?|&&|.", re.DOTALL
)
"""What a pattern is made of: escapes, beginnings of groups, quantifiers, single characters."""

_FOLDED_CLASS = re.compile(r"\(\?i:[^)]*\\[pPwW]")
"""A class where case does not count: Oniguruma does not fold those of Unicode."""

_ESCAPES = frozenset("sSdDwWrntfv") | frozenset(r"\.[](){}+*?|/-'\"^$#&~`!@%<>=,:;")


def _is_alike(piece: str) -> bool:
    """Whether Python reads ``piece``, outside of a class, as Oniguruma does."""
    if piece.startswith("\\"):
        return piece[1] in _ESCAPES
    if piece.startswith("("):
        return piece in ("(", "(?:", "(?=", "(?!", "(?i:")
    if piece.startswith("{"):
        return piece.endswith("}") and re.fullmatch(r"\{\d*,?\d*\}", piece) is not None
    return piece not in ("^", "$", "]") and not piece.endswith(("*?", "+?", "??"))


def _is_alike_in_class(piece: str) -> bool:
    return len(piece) == 1 or (piece.startswith("\\") and piece[1] in _ESCAPES)


def _class(members: Sequence[str], *, negated: bool) -> str:
    """A class of ``members``; one without any matches nothing, and its negation everything."""
    joined = "".join(members)
    if not joined:
        return r"[\x00-\x7f]" if negated else "(?!)"
    return f"[{'^' if negated else ''}{joined}]"


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
