"""Text of unknown origin, made safe to show in a terminal, on a page, or in a drawing."""

from __future__ import annotations

_CONTROL = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\N{SYMBOL FOR DELETE}",
    **{code: f"⟨U+{code:04X}⟩" for code in (*range(0x80, 0xA0), *range(0x202A, 0x202F))},
    **{code: f"⟨U+{code:04X}⟩" for code in (*range(0x2066, 0x206A), 0xFFFE, 0xFFFF)},
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}
"""Code may hold what a terminal or a browser would obey instead of showing: controls, and marks that
turn the direction of the text around. XML has no form for some of them, nor UTF-8 for surrogates."""


def visible(text: str) -> str:
    """``text`` with control characters shown by symbols; line breaks and tabs stay."""
    return text.translate(_CONTROL)
