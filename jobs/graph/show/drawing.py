"""The drawing as SVG. Labels are set in a type of one width and each has a row to itself, so they
cannot overlap in whatever font the reader has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from unicodedata import east_asian_width

from treespan.jobs.graph.show.layout import OTHERS, Layout, Place
from treespan.jobs.graph.show.overview import Overview, Tie
from treespan.platform.visible_text import visible

_ROW = 22
_FONT = 11
_LETTER = 0.602 * _FONT
"""Width of a letter in all common monospaced fonts."""
_MAX_LABEL = 26
"""Letters; longer labels are cut in their middle."""
_RADIUS = (3.0, 9.5)
_LABEL = 14
"""From the middle of a circle to its label."""
_GAP = 76
"""Room between columns for ties to bend in."""
_MARGIN = 28
_LEAST_WIDTH = 760.0
"""What the legend needs."""
_KEY = 190
_MAX_KEY = 24
"""Width of an entry of the legend, and how many letters it has."""
_HEAD = 62

_COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99", "#997700",
)  # fmt: skip
"""Paul Tol's bright scheme and three of his light and high-contrast ones: told apart by most who
do not see all colours."""
_GREY = "#9aa5b1"

_STYLE = """
.graph { --ground: #ffffff; --ink: #1f2933; --faint: #66727f;
  background: var(--ground); }
.graph text { font: 11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: var(--ink); }
.graph .label { paint-order: stroke; stroke: var(--ground); stroke-width: 3px; stroke-opacity: .8;
  stroke-linejoin: round; }
.graph .title { font: 600 15px system-ui, sans-serif; }
.graph .said { font: 12px system-ui, sans-serif; fill: var(--faint); }
.graph .tie { fill: none; stroke-width: 1.2; }
.graph .back { stroke-dasharray: 5 3; }
.graph circle { stroke: var(--ground); stroke-width: 1; }
.graph .swatch { stroke: none; }
@media (prefers-color-scheme: dark) {
  .graph { --ground: #15191e; --ink: #dde3ea; --faint: #8d99a6; }
  .graph .ties { filter: brightness(1.4); }
}
"""


def svg(seen: Overview, layout: Layout) -> str:
    """The drawing, by itself or to be put into a page. Equal data gives equal bytes."""
    sheet = _Sheet(layout)
    width, height = f"{sheet.width:.0f}", f"{sheet.height:.0f}"
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img"',
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<title>{_text(f'Files of {seen.repository} and what ties them')}</title>",
        f"<style>{_STYLE}{_hover_rules(layout)}</style>",
        '<rect width="100%" height="100%" fill="var(--ground)"/>',
        f'<text class="title" x="{_MARGIN}" y="28">{_text(seen.repository)}</text>',
        f'<text class="said" x="{_MARGIN}" y="47">{_text(caption(layout))}</text>',
        '<g class="ties">',
        *(_tie(sheet, layout.places, *tie) for tie in layout.ties),
        "</g>",
        *(_file(sheet, number, place) for number, place in enumerate(layout.places)),
        *_legend(sheet),
        "</svg>\n",
    ]
    return "\n".join(parts)


def caption(layout: Layout) -> str:
    """What is drawn, and how much of it was left out."""
    if not layout.places:
        return "No file is tied to another one."
    files, ties = len(layout.places), len(layout.ties)
    drawn = f"{files:,} files"
    if files < layout.tied_files:
        drawn = f"the {files:,} most connected of {layout.tied_files:,} tied files"
    lines = f"{ties:,} ties between them"
    if ties < layout.tied:
        lines = f"the {ties:,} strongest of {layout.tied:,} ties between them"
    said = f"{drawn}, {lines}"
    if layout.files > layout.tied_files:
        said += f"; {layout.files - layout.tied_files:,} more files have none"
    return said[0].upper() + said[1:]


class _Sheet:
    """Where things are on the paper, in pixels."""

    def __init__(self, layout: Layout) -> None:
        widths = [0] * layout.columns
        for place in layout.places:
            widths[place.column] = max(widths[place.column], _width(_cut(place.label)))
        self._lefts = []
        end = float(_MARGIN - _GAP / 2)
        for width in widths:
            self._lefts.append(end + _GAP + _RADIUS[1])
            end = self._lefts[-1] + _LABEL + width * _LETTER
        sizes = [0] * layout.columns
        for place in layout.places:
            sizes[place.column] += 1
        self._offsets = [(layout.rows - size) / 2 for size in sizes]
        self.groups = layout.groups
        self._most = max((place.file.used_by for place in layout.places), default=0)
        self.legend_top = _HEAD + layout.rows * _ROW + 18
        self.width = max(_LEAST_WIDTH, end + _MARGIN)
        self.keys_a_line = int((self.width - 2 * _MARGIN) // _KEY)
        lines = math.ceil(len(layout.groups) / self.keys_a_line)
        self.height = self.legend_top + 20 * lines + 56

    def centre(self, place: Place) -> tuple[float, float]:
        """Of its circle."""
        row = place.row + self._offsets[place.column]
        return self._lefts[place.column], _HEAD + (row + 0.5) * _ROW

    def radius(self, place: Place) -> float:
        """Its area grows with the files that use it."""
        least, most = _RADIUS
        share = place.file.used_by / self._most if self._most else 0.0
        return least + (most - least) * math.sqrt(share)

    def path(self, source: Place, target: Place) -> str:
        """From the using file to the used one; ties within a column bow to the left.

        To the right of a circle is its label, so ties that come from there end behind the label.
        """
        (x1, y1), (x2, y2) = self.centre(source), self.centre(target)
        if source.column == target.column:
            bow = 12 + min(abs(y1 - y2) * 0.2, _GAP * 0.6)
            bends = x1 - bow, x2 - bow
        elif source.column > target.column:
            x2 = self._behind(target)
            bends = x1 - (x1 - x2) * 0.45, x2 + (x1 - x2) * 0.45
        else:
            x1 = self._behind(source)
            bends = x1 + (x2 - x1) * 0.45, x2 - (x2 - x1) * 0.45
        return (
            f"M{x1:.1f} {y1:.1f}C{bends[0]:.1f} {y1:.1f} {bends[1]:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        )

    def _behind(self, place: Place) -> float:
        return self.centre(place)[0] + _LABEL + _width(_cut(place.label)) * _LETTER + 3


def _tie(sheet: _Sheet, places: Sequence[Place], source: int, target: int, tie: Tie) -> str:
    back = places[source].column < places[target].column
    colour = _colour(places[target].group, sheet.groups)
    opacity = tie.weight * min(0.9, 0.2 + 0.2 * math.log10(1 + tie.strength))
    said = f"{tie.source} → {tie.target}: {', '.join(tie.names[:8])}"
    said += f" and {len(tie.names) - 8} more" if len(tie.names) > 8 else ""
    return (
        f'<path class="tie{" back" if back else ""} s{source} t{target}" '
        f'd="{sheet.path(places[source], places[target])}" stroke="{colour}" '
        f'opacity="{opacity:.2f}">'
        f"<title>{_text(f'{said} ({tie.count:,} times, weight {tie.weight:.2f})')}</title></path>"
    )


def _file(sheet: _Sheet, number: int, place: Place) -> str:
    x, y = sheet.centre(place)
    radius = sheet.radius(place)
    file = place.file
    said = f"{file.path}: used by {file.used_by:,}, uses {file.uses:,}, {file.symbols:,} symbols"
    return (
        f'<g class="file f{number}"><title>{_text(said)}</title>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{_colour(place.group, sheet.groups)}"/>'
        f'<text class="label" x="{x + _LABEL:.1f}" y="{y + 4:.1f}">'
        f"{_text(_cut(place.label))}</text></g>"
    )


def _legend(sheet: _Sheet) -> Iterator[str]:
    top, groups = sheet.legend_top, sheet.groups
    for number, group in enumerate(groups):
        line, place = divmod(number, sheet.keys_a_line)
        x, y = _MARGIN + place * _KEY, top + line * 20
        yield (
            f'<circle class="swatch" cx="{x + 6}" cy="{y}" r="6" fill="{_colour(number, groups)}"/>'
            f'<text x="{x + 18}" y="{y + 4}">{_text(_cut(group, 0, _MAX_KEY))}</text>'
        )
    said = (
        "A circle is a file, its colour the folder. The more files use it, the larger it is.",
        "A line leads left to a file that is imported or used, in its colour; the surer, the bolder.",
        "Dashed lines lead right, against this order.",
    )
    below = top + 20 * math.ceil(len(groups) / sheet.keys_a_line) + 6
    for line, words in enumerate(said):
        yield f'<text class="said" x="{_MARGIN}" y="{below + 18 * line}">{words}</text>'


def _hover_rules(layout: Layout) -> str:
    """A file under the pointer lights up its ties, by style rules alone."""
    rules = ".graph .file:hover .label { font-weight: 700; }\n.graph:has(.file:hover) .tie { opacity: .03; }\n"
    for number in range(len(layout.places)):
        rules += (
            f".graph:has(.f{number}:hover) :is(.s{number}, .t{number}) "
            "{ opacity: 1; stroke-width: 1.6; }\n"
        )
    return rules


def _colour(group: int, groups: Sequence[str]) -> str:
    return _GREY if groups[group] == OTHERS else _COLOURS[group]


def _cut(text: str, head_most: int = 12, most: int = _MAX_LABEL) -> str:
    """``text`` as it is shown; if it is too long, ``head_most`` letters, a dot, and its end."""
    shown = visible(text).replace("\n", "␊").replace("\t", "␉")
    if _width(shown) <= most:
        return shown
    head, tail = shown, shown
    while _width(head) > head_most:
        head = head[:-1]
    while _width(tail) > most - 1 - head_most:
        tail = tail[1:]
    return f"{head}…{tail}"


def _width(text: str) -> int:
    """Columns of ``text`` in a monospaced font."""
    return sum(1 + (east_asian_width(letter) in "WF") for letter in text)


def _text(text: str) -> str:
    return escape(visible(text))
