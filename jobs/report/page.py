"""The page itself: plain HTML in one file, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1f2933; background: #fff;
  max-width: 54rem; margin: 2.5rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.4rem; font-size: 1.2rem; }
p.lead { color: #52606d; margin-top: 0; }
table { border-collapse: collapse; margin: .4rem 0 1.2rem; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid #e4e7eb; }
td.number, th.number { text-align: right; }
svg { max-width: 100%; height: auto; }
pre { background: #f5f7fa; padding: .7rem .9rem; overflow-x: auto; font-size: .82rem;
  line-height: 1.45; border-radius: 4px; margin: .3rem 0 1rem; white-space: pre-wrap; }
details { margin: .35rem 0; } summary { cursor: pointer; }
details > :not(summary) { margin-left: 1.1rem; }
p.file { margin: .7rem 0 .1rem; overflow-wrap: anywhere; }
mark.truth { background: #d3f9d8; } mark.answer { background: #d0ebff; }
.caption { color: #52606d; font-size: .9rem; }
"""

_NUMBER = ' class="number"'


def page(title: str, lead: str, sections: Iterable[str]) -> str:
    """A whole HTML document."""
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n'
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """A heading and what stands below it (HTML already)."""
    return f"<section><h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "</section>"


def paragraph(text: str) -> str:
    """Plain text as a caption."""
    return f'<p class="caption">{escape(text)}</p>'


def link(text: str, page: str) -> str:
    """A link to another page of the same folder."""
    return f'<p><a href="{escape(page)}">{escape(text)}</a></p>'


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; numbers are set flush right."""
    shown = list(rows)
    first = shown[0] if shown else [""] * len(headings)
    head = "".join(
        f"<th{_NUMBER if isinstance(value, int | float) else ''}>{escape(heading)}</th>"
        for heading, value in zip(headings, first, strict=True)
    )
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>\n" for row in shown)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def foldable(summary: str, *parts: str) -> str:
    """Parts (HTML already) that are shown when their summary is clicked."""
    return f"<details><summary>{escape(summary)}</summary>\n" + "\n".join(parts) + "</details>"


def dropped_file(name: str, said: str, text: str) -> str:
    """A file by its name, what is said of it, and some lines of it (or none)."""
    lines = f"<pre>{escape(text)}</pre>" if text else ""
    caption = f'<span class="caption">{escape(said)}</span>'
    return f'<p class="file"><code>{escape(name)}</code> {caption}</p>{lines}'


def completion(example: Mapping[str, str]) -> str:
    """A hole twice: with the truth, and with what the model answered."""
    before, after = escape(example["prefix_tail"]), escape(example["suffix_head"])

    def filled(kind: str, text: str) -> str:
        return f'<pre>{before}<mark class="{kind}">{escape(text) or " "}</mark>{after}</pre>'

    return (
        f"<h3><code>{escape(example['path'])}</code></h3>"
        f"{paragraph('The truth:')}{filled('truth', example['truth'])}"
        f"{paragraph('The model:')}{filled('answer', example['answer'])}"
    )


def _cell(value: Any) -> str:
    if value is None:
        return f"<td{_NUMBER}>–</td>"
    if isinstance(value, float):
        return f"<td{_NUMBER}>{value:,.3f}</td>"
    if isinstance(value, int):
        return f"<td{_NUMBER}>{value:,}</td>"
    return f"<td>{escape(str(value))}</td>"
