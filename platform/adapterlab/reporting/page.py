"""A report as one HTML file: pictures inside, tables that sort, nothing fetched from anywhere.

Everything that is shown was named by somebody, so every text is escaped; the page's own policy forbids requests.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from adapterlab.passwords import hide_passwords
from adapterlab.reporting.curves import curve_chart
from adapterlab.reporting.evidence import Confusion, Evidence
from adapterlab.reporting.grid import Column, Entry, Grid
from adapterlab.reporting.picture import Figures, Kind, Picture
from adapterlab.reporting.summary import Background, Summary, short_names
from adapterlab.reporting.tables import MAJORITY, task_rows
from adapterlab.spec.toml_text import toml_document

_KEY_DIGITS = 12
_FIGURES = "Figures"
_ON_SCREEN = 1.9
"""Pixels of a typographic point: figures have the size they are printed in, and are read from further away."""
_KINDS: Mapping[Kind, str] = {
    "probing": "Sources scaled by constants", "few-shot": "Few rows of the target", "pool-size": "Number of sources", "parameters": "Parameters",
    "difference": "Differences", "coefficients": "Coefficients", "attention": "Attention", "search": "Searches",
}  # fmt: skip
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; margin: 1.5rem auto;
  max-width: 76rem; padding: 0 1rem; overflow-wrap: anywhere }
h1 { margin: 0 0 .2rem } h2 { margin: 2rem 0 .3rem; font-size: 1.2rem } h3 { margin: 1rem 0 .3rem; font-size: 1rem }
.wide { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; margin: .6rem 0 .4rem; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e4e7eb; vertical-align: top }
thead th { border-bottom: 2px solid #9aa5b1; vertical-align: bottom }
th.text, td.text { text-align: left }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-align: inherit }
th[aria-sort=ascending] button::after { content: " ▲" } th[aria-sort=descending] button::after { content: " ▼" }
td:not(.text) { white-space: nowrap } th small { white-space: nowrap }
small.more { white-space: normal; display: inline-block; min-width: 6rem }
small, .note { color: #616e7c; font-weight: normal }
td.best { font-weight: 700 } td.second { text-decoration: underline }
tr.floor td { color: #616e7c; font-style: italic } tr.own td { background: #f1f7ee }
p.note { margin: .15rem 0; font-size: .87rem }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .15rem 1rem; margin: .8rem 0 }
dt { color: #616e7c } dd { margin: 0 }
code, pre { font: .87em/1.5 ui-monospace, monospace } pre { background: #f5f7fa; padding: .7rem; overflow-x: auto }
figure { margin: 1rem 0 } img, svg { max-width: 100%; height: auto } figcaption { color: #616e7c; font-size: .87rem }
.side { display: flex; flex-wrap: wrap; gap: .5rem 2rem } .side figure { margin: .4rem 0; max-width: 100%; min-width: 0 }
ul.key { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1rem; padding: 0; margin: .2rem 0; font-size: .87rem }
ul.key svg { vertical-align: middle; margin-right: .3rem }
summary { cursor: pointer; margin: .5rem 0 }
.matrix td, .matrix th { padding: .2rem .5rem; border: 1px solid #e4e7eb }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dt { margin-top: .4rem } th, td { padding: .25rem .45rem }
  .wide td:first-child, .wide th:first-child { position: sticky; left: 0; background: #fff } }
@media print { body { max-width: none; margin: 0; font-size: 11px } .wide { overflow: visible }
  th, td { padding: .15rem .35rem } td:not(.text) { white-space: normal } tr, figure { break-inside: avoid } h2, h3 { break-after: avoid } pre { white-space: pre-wrap } }
"""
_SCRIPT = """
for (const table of document.querySelectorAll("table.sorts")) {
  table.querySelectorAll("th button").forEach((button, place) => button.addEventListener("click", () => {
    const head = button.parentElement, body = table.tBodies[0];
    const up = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && head.classList.contains("text"));
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const text = row => row.cells[place].textContent.trim(), number = row => parseFloat(text(row).replace(/,/g, ""));
    [...body.rows].map((row, at) => [row, at]).sort(([a, i], [b, j]) => {
      const x = number(a), y = number(b);
      if (head.classList.contains("text")) return (up ? 1 : -1) * text(a).localeCompare(text(b)) || i - j;
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y) || i - j;
      return (up ? x - y : y - x) || i - j;
    }).forEach(([row]) => body.append(row));
  }));
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(one => one.open = true));
"""


def page(
    summary: Summary,
    grids: Sequence[Grid],
    *,
    evidence: Evidence | None = None,
    figures: Figures | None = None,
) -> str:
    """Return a report as one page.

    Args:
        summary: The results.
        grids: The tables.
        evidence: Curves and matrices, as far as they are at hand.
        figures: What is drawn.
    """
    found = evidence or Evidence()
    own = {cell.combiner for cell in summary.cells if cell.is_own_adapter}
    parts = [
        f"<h1>{_text(summary.sweep)}</h1>",
        *(_head(one, summary.backbone_parameters) for one in summary.background),
        *(_grid(grid, own) for grid in grids),
        _curves(found, summary),
        _confusions(found),
        f'<p class="note">{_text(found.missing)}</p>' if found.missing else "",
        _figures(figures or Figures()),
        _tasks(summary.background),
        _runs(summary),
        *(_again(one) for one in summary.background),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(summary.sweep)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _text(value: object) -> str:
    return html.escape(hide_passwords(str(value)))


# -- what it is ---------------------------------------------------------------------------------------


def _head(one: Background, parameters: int | None) -> str:
    size = f"{parameters:,} parameters" if parameters else ""
    shape = ", ".join(part for part in (one.backbone_shape, size) if part)
    facts: dict[str, object] = {
        "sweep": f"{one.sweep} ({one.state})",
        "key": one.key,
        "submitted": one.submitted,
        "last change": one.updated,
        "backbone": f"{one.backbone}{f' ({shape})' if shape else ''}",
        "weights": f"sha256 {one.backbone_digest}" if one.backbone_digest else "",
        "source pool": ", ".join(one.pool),
        "adapters": one.adapter,
        "seeds": ", ".join(map(str, one.seeds)),
        "rows used": one.limits,
        "search": one.search,
        "made by": one.versions,
    }
    return f"<dl>{''.join(_fact(name, value) for name, value in facts.items() if value)}</dl>"


def _fact(name: str, value: object) -> str:
    said = "<br>".join(map(_text, value)) if isinstance(value, tuple) else _text(value)
    return f"<dt>{_text(name)}</dt><dd>{f'<code>{said}</code>' if name == 'key' else said}</dd>"


def _tasks(backgrounds: Sequence[Background]) -> str:
    grid = task_rows(backgrounds)
    return "" if grid is None else _grid(grid)


# -- tables -------------------------------------------------------------------------------------------


def _grid(grid: Grid, own: Iterable[str] = ()) -> str:
    heads = "".join(
        f'<th scope="col"{_class(column)}><button type="button">{_text(column.name)}'
        f"{f'<br><small>{_text(column.detail)}</small>' if column.detail else ''}</button></th>"
        for column in grid.columns
    )
    rows = "\n".join(_row(row, grid.columns, own) for row in grid.rows)
    notes = "\n".join(
        f'<p class="note">{_text(note)}</p>' for note in (*([grid.marks] if grid.marks else []), *grid.notes)
    )
    return (
        f'<h2>{_text(grid.title)}</h2>\n<div class="wide"><table class="sorts">\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>\n{notes}"
    )


def _row(row: Sequence[Entry], columns: Sequence[Column], own: Iterable[str]) -> str:
    name = row[0].text
    kind = ' class="floor"' if name == MAJORITY else ' class="own"' if name in own else ""
    cells = "".join(_entry(entry, column) for entry, column in zip(row, columns, strict=True))
    return f"<tr{kind}>{cells}</tr>"


def _entry(entry: Entry, column: Column) -> str:
    classes = [*([] if column.is_number else ["text"]), *([entry.mark] if entry.mark else [])]
    kind = f' class="{" ".join(classes)}"' if classes else ""
    spread = "" if entry.spread is None else f" <small>± {_text(entry.spread)}</small>"
    note = f'<br><small class="more">{_text(entry.note)}</small>' if entry.note else ""
    return f"<td{kind}>{_text(entry.text)}{spread}{note}</td>"


def _class(column: Column) -> str:
    return "" if column.is_number else ' class="text"'


def _runs(summary: Summary) -> str:
    columns = (
        Column("method", is_number=False), Column("target", is_number=False), Column("seed"),
        Column("test"), Column("validation"), Column("key", is_number=False),
    )  # fmt: skip
    rows = tuple(
        (Entry(cell.combiner), Entry(cell.target), Entry(str(seed)), Entry(f"{test:.4f}"), Entry(f"{value:.4f}"),
         Entry(key))
        for cell in summary.cells
        for seed, test, value, key in zip(
            cell.seeds, cell.test, cell.validation, cell.keys or ("",) * len(cell.seeds), strict=True
        )
    )  # fmt: skip
    if not rows:
        return ""
    inner = _grid(Grid("Runs and their keys", columns, rows))
    return f"<details><summary>Every run: {len(rows)}, with its key in the catalog</summary>\n{inner}\n</details>"


# -- pictures -----------------------------------------------------------------------------------------


def _curves(evidence: Evidence, summary: Summary) -> str:
    if not evidence.curves:
        return ""
    methods = list(dict.fromkeys(cell.combiner for cell in summary.cells))
    charts = []
    for target in summary.targets:
        curves = [one for one in evidence.curves if one.target == target]
        if curves:
            charts.append(f"<h3>{_text(target)}</h3>{curve_chart(curves, methods, summary.metric(target))}")
    said = '<p class="note">The leading metric on validation after each epoch, mean over seeds.</p>'
    return f"<h2>Learning curves</h2>{said}\n" + "\n".join(charts)


def _confusions(evidence: Evidence) -> str:
    if not evidence.confusions:
        return ""
    names = short_names(one.target for one in evidence.confusions)
    parts = ["<h2>What was answered</h2>"]
    for target, shown in names.items():
        found = [one for one in evidence.confusions if one.target == target]
        matrices = "\n".join(map(_confusion, found))
        opened = " open" if len(names) <= 2 else ""
        parts.append(
            f'<details{opened}><summary>{_text(shown)}: {len(found)} method{"s" if len(found) > 1 else ""}</summary><div class="side">\n{matrices}\n'
            "</div></details>"
        )
    return "\n".join(parts)


def _confusion(one: Confusion) -> str:
    runs = f"{one.runs} run{'s' if one.runs != 1 else ''} together"
    if one.is_multi_label:
        said = f"labels of the test rows, {runs}"
    else:
        said = f"rows: true class; columns: answer; {runs}"
    heads = ("found", "wrongly", "missed") if one.is_multi_label else one.labels
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    rows = "".join(
        f'<tr><th scope="row" class="text">{_text(label)}</th>{"".join(_shaded(count, sum(row)) for count in row)}</tr>'
        for label, row in zip(one.labels, one.counts, strict=True)
    )
    return (
        f'<figure><div class="wide"><table class="matrix"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody>'
        f"</table></div><figcaption>{_text(one.method)} ({said})</figcaption></figure>"
    )


def _shaded(count: int, of: int) -> str:
    share = count / of if of else 0.0
    return f'<td style="background: rgba(74, 127, 181, {0.75 * share:.2f})">{count:,}</td>'


def _figures(figures: Figures) -> str:
    if not (figures.pictures or figures.words):
        return ""
    parts = [f"<h2>{_FIGURES}</h2>"]
    for kind in dict.fromkeys(one.kind for one in figures.pictures):
        drawn = [one for one in figures.pictures if one.kind == kind]
        inner = "\n".join(map(_figure, drawn))
        parts.append(f'<h3>{_text(_KINDS[kind])}</h3>\n<div class="side">\n{inner}\n</div>')
    parts += [f'<p class="note">{_text(said)}</p>' for said in figures.words]
    return "\n".join(parts)


def _figure(one: Picture) -> str:
    kind, data = ("svg+xml", one.svg) if one.svg is not None else ("png", one.png)
    encoded = base64.b64encode(data).decode("ascii")
    size = re.search(rb'<svg [^>]*width="([0-9.]+)pt"', data[:2000]) if one.is_printed else None
    width = "" if size is None else f' width="{_ON_SCREEN * float(size[1]):.0f}"'
    return (
        f'<figure><img alt="{_text(one.caption)}"{width} src="data:image/{kind};base64,{encoded}">'
        f"<figcaption>{_text(one.caption)}</figcaption></figure>"
    )


# -- again --------------------------------------------------------------------------------------------


def _again(one: Background) -> str:
    key = one.key[:_KEY_DIGITS]
    lines = [
        f"platform submit {_word(one.sweep)}.toml    # the spec below; what is in the catalog is not trained again",
        f"platform report {key} --to report",
        f"platform status {key}",
        "platform catalog show KEY         # one run: settings, metrics, versions",
    ]
    spec = _spec(one.spec)
    return (
        f"<h2>{_text(one.sweep)}: the same again</h2>\n<pre>{_text(chr(10).join(lines))}</pre>\n"
        f"<details><summary>The spec, with all defaults spelled out; its paths are those of the machine it ran on"
        f"</summary>\n<pre>{_text(spec)}</pre></details>"
    )


def _word(name: str) -> str:
    return "".join(one if one.isalnum() or one in "._-" else "-" for one in name)


def _spec(text: str) -> str:
    try:
        spec: Any = json.loads(text)
    except ValueError:
        return text
    return toml_document(spec) if isinstance(spec, dict) else text
