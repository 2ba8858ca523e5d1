"""Render a report as one self-contained HTML file for light and dark mode and for wide and narrow screens."""

import html
import re
from collections.abc import Sequence

from ser_lightning.report.document import Block, Code, Document, Folded, Picture, Points
from ser_lightning.report.figures import svg
from ser_lightning.report.tables import NOTHING, Table

STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfb; --ink: #1b1e23; --soft: #5b626c; --line: #e1e3e6; --faint: #9aa0a8;
  --panel: #f3f4f5; --mark: #0072B2; --alarm: #b3401a; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #e6e8eb; --soft: #a2a9b3; --line: #31363d;
  --faint: #767d87; --panel: #1e2125; --mark: #56B4E9; --alarm: #f0906a; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p, li { max-width: 46rem; overflow-wrap: break-word; }
.question { color: var(--soft); margin: 0 0 .3rem; }
.answer { font-size: 1.2rem; line-height: 1.45; font-weight: 600; border-left: 4px solid var(--mark);
  padding: .1rem 0 .1rem .9rem; margin: 0 0 1.2rem; }
.warning { color: var(--alarm); font-weight: 600; }
ul { padding-left: 1.2rem; } li { margin: .25rem 0; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; white-space: normal; }
.text { text-align: left; } th:first-child, td:first-child { padding-left: 0; }
td.words { white-space: normal; min-width: 15rem; }
figure { margin: 1.2rem 0; }
.panels { display: flex; flex-wrap: wrap; gap: 1.2rem; }
.panel { flex: 0 1 30rem; min-width: 0; }
.panel h3 { font-size: .9rem; font-weight: 600; margin: 0 0 .3rem; }
.panel svg { display: block; width: 100%; height: auto; } .panel svg text { fill: var(--ink);
  font-family: system-ui, sans-serif !important; }
figcaption { color: var(--soft); font-size: .875rem; margin-top: .5rem; max-width: 46rem; }
pre { background: var(--panel); padding: .7rem .9rem; overflow-x: auto; font-size: .85rem; border-radius: 4px; }
code { font-size: .9em; overflow-wrap: anywhere; } pre code { overflow-wrap: normal; }
summary { cursor: pointer; color: var(--soft); }
@media (max-width: 30rem) { table { font-size: .8rem; } th, td { padding: .3rem .4rem; }
  .answer { font-size: 1.1rem; } }
@media print { .scroll { overflow: visible; } }
"""
WORDS = 40  # a column with a cell longer than this many characters is treated as prose and wrapped


def page(document: Document) -> str:
    """Render a document as HTML without scripts or external resources."""
    warning = f'<p class="warning">{_text(document.warning)}</p>\n' if document.warning else ""
    sections = "\n".join(
        f"<section>\n<h2>{_text(section.title)}</h2>\n" + "\n".join(map(_block, section.blocks)) + "\n</section>"
        for section in document.sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_text(document.title)}</h1>\n{warning}<p class="question">{_text(document.question)}</p>\n'
        f'<p class="answer">{_text(document.answer)}</p>\n{_list(document.cautions)}\n{sections}\n'
        "</main>\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Picture():
            return _picture(block)
        case Points():
            return _list(block.lines)
        case Code():
            return f"<pre><code>{html.escape(block.text)}</code></pre>"
        case Folded():
            return f"<details><summary>{_text(block.title)}</summary>\n{_table(block.table)}\n</details>"
        case str():
            return f"<p>{_text(block)}</p>"


def _table(table: Table) -> str:
    # The alignment is chosen per column, so that all cells of a column are aligned alike.
    kinds = [
        _kind([row[column] for row in table.rows]) if column else ' class="text"' for column in range(len(table.header))
    ]
    head = "".join(
        f'<th scope="col"{kind.replace(" words", "")}>{_text(cell)}</th>'
        for kind, cell in zip(kinds, table.header, strict=True)
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td{kind}>{_text(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) + "</tr>"
        for row in table.rows
    )
    return (
        '<div class="scroll" tabindex="0"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _kind(cells: Sequence[str]) -> str:
    if any(len(cell) > WORDS for cell in cells):
        return ' class="text words"'
    numbers = all(cell == NOTHING or cell[:1].isdigit() or (cell[:1] in "+-<" and len(cell) > 1) for cell in cells)
    return "" if numbers else ' class="text"'


def _picture(picture: Picture) -> str:
    panels = "\n".join(
        '<div class="panel">'
        + (f"<h3>{_text(heading)}</h3>" if heading else "")
        + svg(figure, name=name, title=f"{heading}: {picture.caption}" if heading else picture.caption)
        + "</div>"
        for name, (heading, figure) in picture.panels.items()
    )
    caption = f"<figcaption>{_text(picture.caption)}</figcaption>"
    return f'<figure>\n<div class="panels">\n{panels}\n</div>\n{caption}\n</figure>'


def _list(lines: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{_text(line)}</li>" for line in lines) + "\n</ul>" if lines else ""


def _text(text: str) -> str:
    # A non-breaking space keeps a number and its percent sign on the same line.
    return re.sub("`([^`]*)`", r"<code>\1</code>", html.escape(text)).replace(" %", "&nbsp;%")
