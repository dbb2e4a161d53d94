"""Patterns that cut a text into what BPE may merge: ours, and what it was chosen from."""

from treespan.model.tokenizer import WORDS

_MARK = r"(?:[^\s\p{L}\p{M}\p{N}]| )?"
_WORD = r"[\p{L}\p{M}]+"
_DIGITS_AND_MARKS = r"|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|"
_BLANKS = r"\s+(?= [^\s\p{N}])|\s+"

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
LINE_ENDS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + LINE_ENDS
CL100K = CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + LINE_ENDS
"""As the packages of these vocabularies give them."""

PATTERNS = {
    "ours": WORDS,
    "names whole": _MARK + _WORD + _DIGITS_AND_MARKS + _BLANKS,
    "line breaks apart": _MARK + _WORD + _DIGITS_AND_MARKS + r"\s*[\r\n]+|" + _BLANKS,
    "blank only": " ?" + _WORD + _DIGITS_AND_MARKS + _BLANKS,
    "Qwen's": QWEN,
    "GPT-2's, digits apart": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}
"""``blank only`` takes no mark with a word, ``names whole`` does not cut at capitals."""
