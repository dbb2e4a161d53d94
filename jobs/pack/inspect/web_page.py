"""A row as HTML: one page for ``treespan inspect --html``, and the part that a report shows.

Nothing is loaded from elsewhere and no script runs: views are switched by style rules alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from treespan.jobs.pack.inspect.find_row import FoundRow
from treespan.jobs.pack.inspect.row_view import DocumentView, RowView, Run, SegmentView
from treespan.jobs.pack.inspect.wording import (
    EMPTY_HOLE,
    document_of,
    facts_of,
    head_of,
    padding_of,
)
from treespan.platform.visible_text import visible

STYLE = """
.row { --ink: #1f2933; --faint: #6b7785; --line: #dde2e8; --ground: #f7f9fb;
  --prefix: #d7ecfa; --suffix: #dcf2df; --middle: #ffd873; --header: #eceff2; --code: #ffffff;
  --sentinel: #9c36b5; --shade: rgba(0, 0, 0, .075); }
.row pre.code { background: var(--ground); color: var(--ink); border: 1px solid var(--line);
  border-radius: 6px; padding: .6rem .8rem; margin: .2rem 0 1rem; overflow-x: auto; tab-size: 4;
  white-space: pre-wrap; overflow-wrap: anywhere;
  font: .8rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.row .prefix { background: var(--prefix); } .row .suffix { background: var(--suffix); }
.row pre .prefix, .row pre .suffix, .row pre .middle { padding: .2em 0; }
.row .middle { background: var(--middle); color: #1f2933; border-radius: 2px; }
.row .header { color: var(--faint); } .row .hole { font-style: italic; padding: 0 .25em; }
.row .sentinel { color: var(--sentinel); font-weight: 700; }
.row .blind { text-decoration: underline dotted 2px; text-underline-offset: 3px; }
.row i { font-style: normal; } .row .head { margin: 1.3rem 0 .2rem; font-size: .92rem; }
.row .head b { margin-right: .5em; } .row .head code { font-weight: 400; overflow-wrap: anywhere; }
.row .facts { color: var(--faint); font-size: .82rem; margin: 0 0 .2rem; }
.row .map { display: flex; height: 1.5rem; border: 1px solid var(--line); border-radius: 4px;
  overflow: hidden; margin: .8rem 0; }
.row .map a { display: flex; min-width: 1px; border-left: 2px solid var(--ink); }
.row .map a:hover { filter: brightness(.88); }
.row .map u { display: block; } .row .map .code { background: var(--code); }
.row .map .header { background: var(--header); }
.row .map .padding { background: repeating-linear-gradient(45deg, transparent 0 4px, var(--line) 4px 6px); }
.row .document { border-left: 3px solid var(--line); padding-left: .9rem; margin: 1.2rem 0; }
.row .document > p { color: var(--faint); font-size: .85rem; margin: 0; }
.row .about { position: relative; } .row .about table { display: none; position: absolute; z-index: 1;
  font-weight: 400; white-space: nowrap;
  left: 0; top: 1.6em; background: var(--ground); color: var(--ink); border: 1px solid var(--line);
  border-radius: 6px; padding: .4rem .7rem; font-size: .8rem; box-shadow: 0 4px 14px rgba(0,0,0,.18); }
.row .about:hover table, .row .about:focus table { display: block; }
.row .about td { padding: .05rem .8rem .05rem 0; border: 0; }
"""

_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66rem; margin: 2rem auto; padding: 0 1.2rem;
  color: #1f2933; background: #fff; }
h1 { font-size: 1.3rem; margin: 0; } p.where { color: #6b7785; margin: .1rem 0 1rem; overflow-wrap: anywhere; }
.bar { position: sticky; top: 0; background: inherit; padding: .5rem 0; z-index: 2; }
input { position: absolute; opacity: 0; }
label { border: 1px solid #aab4bf; border-radius: 4px; padding: .2rem .7rem; margin-right: .3rem;
  cursor: pointer; font-size: .88rem; display: inline-block; }
#model:checked ~ .bar [for=model], #file:checked ~ .bar [for=file],
#tokens:checked ~ .bar [for=tokens] { background: #0b7285; border-color: #0b7285; color: #fff; }
input:focus-visible ~ .bar label { outline: 2px solid #e8a33d; }
#model:checked ~ .row .file-view, #file:checked ~ .row .model-view { display: none; }
#tokens:checked ~ .row i:nth-of-type(odd) { background: var(--shade); }
@media (prefers-color-scheme: dark) {
  body { color: #dde3ea; background: #15191e; }
  .row { --ink: #dde3ea; --faint: #8d99a6; --line: #38414b; --ground: #1c2127;
    --prefix: #17394d; --suffix: #1d4028; --middle: #e3b341; --header: #2a3138; --code: #2f3842;
    --sentinel: #e599f7; --shade: rgba(255, 255, 255, .13); }
}
"""

_SWITCHES = """<input type="radio" name="view" id="model" checked>
<input type="radio" name="view" id="file"><input type="checkbox" id="tokens">
<div class="bar"><label for="model">as the model reads it</label><label for="file">as the file has it</label>
<label for="tokens">token boundaries</label></div>
"""


def row_page(found: FoundRow) -> str:
    """A whole HTML document with both views of the row."""
    where, said = head_of(found).split("\n")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Row {found.row}</title><style>{STYLE}{_PAGE_STYLE}</style></head>\n<body>\n"
        f'<h1>{escape(said.capitalize())}</h1>\n<p class="where">{escape(where)}</p>\n'
        f'{_SWITCHES}<div class="row">{"".join(_row(found.view))}</div>\n</body></html>\n'
    )


def segment_part(segment: SegmentView) -> str:
    """One segment as the file has it, for a page that holds ``STYLE``."""
    said = "; ".join(facts_of(segment))
    return (
        f'<div class="row"><div class="head"><b>{escape(segment.title)}</b> '
        f'<code>{escape(visible(segment.name))}</code></div><p class="facts">{escape(said)}</p>'
        f"{_code(segment.in_file_order(), tokens=False)}</div>"
    )


def _row(view: RowView) -> Iterator[str]:
    yield _legend()
    yield _map(view)
    number = 0
    for place, document in enumerate(view.documents, 1):
        yield f'<div class="document"><p>{escape(document_of(place, document))}</p>'
        for segment in document.segments:
            number += 1
            yield _segment(number, segment)
        yield "</div>\n"
    yield f'<p class="facts">{escape(padding_of(view))}</p>'


def _legend() -> str:
    roles = "".join(
        f'<span class="{role}">&nbsp;{role}&nbsp;</span> '
        for role in ("header", "prefix", "suffix", "middle")
    )
    return (
        f'<p class="facts">{roles}<span class="sentinel">⟨special token⟩</span> '
        '<span class="blind">no target of training</span></p>'
    )


def _map(view: RowView) -> str:
    """The row as a bar, every run as wide as it is long; it leads to the segments."""
    parts = []
    for number, segment in enumerate(_segments(view.documents), 1):
        runs = "".join(
            f'<u class="{run.role}" style="flex-grow:{run.tokens}"></u>' for run in segment.runs
        )
        title = f"{number}: {segment.title} {visible(segment.name)}"
        length = segment.columns["length"]
        parts.append(
            f'<a href="#segment-{number}" style="flex:{length} 0 0" title="{escape(title)}">'
            f"{runs}</a>"
        )
    padding = f'<span class="padding" style="flex:{view.padding} 0 0"></span>'
    return f'<div class="map">{"".join(parts)}{padding if view.padding else ""}</div>'


def _segments(documents: Sequence[DocumentView]) -> Iterator[SegmentView]:
    for document in documents:
        yield from document.segments


def _segment(number: int, segment: SegmentView) -> str:
    columns = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(visible(str(value)))}</td></tr>"
        for name, value in segment.columns.items()
        if value != ""
    )
    return (
        f'<div class="head" id="segment-{number}"><span class="about" tabindex="0"><b>{number} '
        f"{escape(segment.title)}</b><table>{columns}</table></span> "
        f"<code>{escape(visible(segment.name))}</code></div>"
        f'<p class="facts">{escape("; ".join(facts_of(segment)))}</p>'
        f'<div class="model-view">{_code(segment.runs, tokens=True)}</div>'
        f'<div class="file-view">{_code(segment.in_file_order(), tokens=True)}</div>\n'
    )


def _code(runs: Sequence[Run], *, tokens: bool) -> str:
    return f'<pre class="code">{"".join(_run(run, tokens) for run in runs)}</pre>'


def _run(run: Run, tokens: bool) -> str:
    if run.role == "sentinel":
        inside = f"⟨{run.label}⟩"
    elif tokens:
        inside = "".join(f"<i>{escape(visible(piece))}</i>" for piece in run.pieces)
    else:
        inside = escape(visible(run.text))
    kind = run.role if run.target else f"{run.role} blind"
    if run.role == "middle" and not run.tokens:
        kind, inside = "middle hole", EMPTY_HOLE
    title = f"{run.label or run.role}: {run.tokens:,} tokens from {run.start:,}"
    title += "" if run.target else ", no target"
    return f'<span class="{kind}" title="{title}">{inside}</span>'
