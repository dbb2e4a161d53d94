"""Five kinds of edit that turn a source file into a clone of it, each of a chosen strength.

An edit is a function of the text, the strength (0 hardly anything, 1 a lot) and a generator that
was seeded for this clone. Larger strength changes more of the same things, so that a caller can
search for the strength at which the clone is as similar as it wants.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from random import Random

Edit = Callable[[str, float, Random], str]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,}")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
_COMMENT = re.compile(r"^\s*(#|//|/\*|\*|--|;|!)")
_KEYWORDS = frozenset(
    re.findall(
        r"\w+",
        """
    and assert async await auto bool break case catch char class const continue def default del
    delete double elif else enum except export extern False finally float for from function
    global goto if import include inline int interface let long namespace new None nonlocal not
    null operator pass private protected public raise return self short signed sizeof static
    struct switch template this throw True try typedef typename union unsigned using var virtual
    void volatile while with yield
        """,
    )
)
_LICENCE = (
    "Copyright {year} The {name} Authors. All rights reserved. Licensed under the terms below; "
    "you may not use this file except in compliance with them. Permission is hereby granted, free "
    "of charge, to any person obtaining a copy of this software and associated documentation files "
    "to deal in it without restriction, including without limitation the rights to use, copy, "
    "modify, merge, publish, distribute, sublicense and sell copies, and to permit persons to whom "
    "it is furnished to do so, subject to the following conditions: the above notice and this "
    "notice shall be included in all copies or substantial portions. Redistributions in binary "
    "form must reproduce the above notice, this list of conditions and the following disclaimer in "
    "the documentation and other materials provided with the distribution. Neither the name of "
    "the copyright holder nor the names of its contributors may be used to endorse or promote "
    "products derived from this software without specific prior written permission. Unless "
    "required by applicable law or agreed to in writing, it is distributed on an as is basis, "
    "without warranties or conditions of any kind, either express or implied, including but not "
    "limited to the warranties of merchantability, fitness for a particular purpose and "
    "noninfringement. In no event shall the authors or holders be liable for any claim, damages or "
    "other liability, whether in an action of contract, tort or otherwise, arising from, out of or "
    "in connection with it or the use or other dealings in it. See the licence for the specific "
    "language governing permissions and limitations, and the file of notices for what else applies."
)
_WORDS = re.findall(
    r"\w+",
    """
    value result buffer index cache table entry first last state check update handle error path
    list node count offset name type config option input output reader writer token stream
    """,
)


def add_licence(text: str, strength: float, draw: Random) -> str:
    """Put a licence header of 3 to some 260 words in front."""
    name = f"{draw.choice(_WORDS)}{draw.randrange(1000)}".capitalize()
    words = _LICENCE.format(year=draw.randint(1990, 2026), name=name).split()
    words = words[: 3 + round(strength * (len(words) - 3))]
    mark = _comment_mark(text)
    lines = [f"{mark} {' '.join(words[i : i + 12])}" for i in range(0, len(words), 12)]
    return "\n".join([*lines, "", text])


def rename(text: str, strength: float, draw: Random) -> str:
    """Rename up to half of the identifiers, wherever they occur; the rarer ones first."""
    counts = Counter(_IDENTIFIER.findall(text))
    names = sorted(name for name in counts if name not in _KEYWORDS)
    draw.shuffle(names)
    names.sort(key=lambda name: counts[name].bit_length())
    chosen = names[: max(1, round(strength * len(names) / 2))]
    new = {name: f"{draw.choice(_WORDS)}_{draw.randrange(10**4)}" for name in chosen}
    return _IDENTIFIER.sub(lambda match: new.get(match[0], match[0]), text)


def reorder(text: str, strength: float, draw: Random) -> str:
    """Cut the text into blocks, large ones for little strength, and shuffle these."""
    lines = text.split("\n")
    size = max(1, round(60 ** (1.0 - strength)))
    blocks: list[list[str]] = [[]]
    for line in lines:
        # Top-level definitions stay whole where the blocks are large enough.
        starts = bool(line) and not line[0].isspace() and line[0] not in "})]#/*"
        if len(blocks[-1]) >= size and (starts or size < 8):
            blocks.append([])
        blocks[-1].append(line)
    draw.shuffle(blocks)
    return "\n".join(line for block in blocks for line in block)


def reformat(text: str, strength: float, draw: Random) -> str:
    """Other indentation, spacing, quotes and line ends, and some numbers written another way."""
    unit = draw.choice(["\t", "  ", "   ", "        "])
    lines = []
    for line in text.split("\n"):
        body = line.lstrip(" ")
        depth, rest = divmod(len(line) - len(body), 4)
        body = re.sub(r"\s*([=+<>-])\s*", r" \1 " if strength > 0.5 else r"\1", body)
        lines.append(unit * depth + " " * rest + body.rstrip())
    text = "\n".join(lines).replace("'", '"')
    return _NUMBER.sub(lambda m: f"{m[0]}.0" if draw.random() < strength else m[0], text)


def edit_comments(text: str, strength: float, draw: Random) -> str:
    """Reword, drop and add comment lines."""
    mark = _comment_mark(text)
    lines = []
    for line in text.split("\n"):
        if _COMMENT.match(line) and draw.random() < strength:
            if draw.random() < 0.5:
                lines.append(_reword(line, draw))
            continue
        if draw.random() < strength / 6:
            said = " ".join(draw.choice(_WORDS) for _ in range(draw.randint(3, 9)))
            lines.append(f"{line[: len(line) - len(line.lstrip())]}{mark} {said}")
        lines.append(line)
    return "\n".join(lines)


EDITS: dict[str, Edit] = {
    "licence": add_licence,
    "rename": rename,
    "reorder": reorder,
    "reformat": reformat,
    "comments": edit_comments,
}


def _comment_mark(text: str) -> str:
    slashes = sum(line.lstrip().startswith(("//", "/*", "*")) for line in text.split("\n"))
    return "//" if slashes or "{\n" in text else "#"


def _reword(line: str, draw: Random) -> str:
    return re.sub(r"\w+", lambda m: draw.choice(_WORDS) if draw.random() < 0.4 else m[0], line)
