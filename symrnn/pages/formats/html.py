"""A page as one HTML file: MathML, a drawing, folds; no script and nothing fetched."""

from __future__ import annotations

from html import escape
from typing import Any

from symrnn import emit
from symrnn.pages.document import Block, Code, Diagram, Document, Equations, Fold, Prose, Section, Table, say
from symrnn.pages.drawing import layout
from symrnn.pages.notation.mathml import Mathml
from symrnn.pages.writer import Writer

SUFFIX = ".html"
_ARROW = (
    "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
    "<path d='M0 0 L8 4 L0 8 z'/></marker></defs>"
)


def render(document: Document, lang: str, fragment: bool = False, links: str = "") -> str:
    """The page; `links` is HTML that a book puts above and below it."""
    writer = _Writer(document, lang)
    body = writer.body()
    if fragment:
        return body
    return emit.render(
        "pages/page.html.j2",
        {
            "title": escape(document.headline),
            "lang": lang,
            "body": body,
            "contents": writer.contents(),
            "links": links,
            "name": escape(document.name),
        },
    )


class _Writer(Writer):
    def __init__(self, document: Document, lang: str) -> None:
        super().__init__(document, lang, Mathml())

    def body(self) -> str:
        d = self.document
        head = f"<header><p class='name'><code>{escape(d.name)}</code></p><h1>{escape(d.headline)}</h1>"
        remarks = f"<p class='remarks'>{escape(d.remarks)}</p>" if d.remarks else ""
        return f"{head}{remarks}</header>\n" + "\n".join(self.section(s) for s in d.sections)

    def contents(self) -> str:
        items = "".join(f"<li><a href='#{s.anchor}'>{self.say(s.title)}</a></li>" for s in self.document.sections)
        return f"<nav aria-label='{self.say(say('title.contents'))}'><ol>{items}</ol></nav>"

    def section(self, s: Section) -> str:
        return f"<section id='{s.anchor}'><h2>{self.say(s.title)}</h2>\n{self.blocks(s.blocks)}</section>"

    def blocks(self, blocks: tuple[Block, ...]) -> str:
        return "\n".join(self.block(b) for b in blocks)

    def escape(self, text: str) -> str:
        return escape(text)

    def inline(self, formula: Any) -> str:
        return f"<math>{self.pen.text(formula)}</math>"

    def mono(self, text: str) -> str:
        return f"<code>{escape(text)}</code>"

    def prose(self, block: Prose) -> str:
        return f"<p>{self.said(block)}</p>"

    def code(self, block: Code) -> str:
        return f"<pre><code>{escape(chr(10).join(block.lines))}</code></pre>"

    def fold(self, block: Fold) -> str:
        summary = f"<summary>{self.say(block.summary)}</summary>"
        return f"<details{' open' if block.open else ''}>{summary}\n{self.blocks(block.blocks)}</details>"

    # -- equations -----------------------------------------------------------------------------------------

    def equations(self, block: Equations) -> str:
        """Rows aligned at the equals signs; a note starts a group of its own above its row."""
        groups: list[str] = []
        rows: list[str] = []
        for e in block.rows:
            if e.note is not None:
                groups += [_display(rows)] if rows else []
                groups.append(f"<p class='step'>{self.say(e.note)}</p>")
                rows = []
            terms = "".join(f"<span>{''.join(map(_math, term))}</span>" for term in self.pen.groups(e.right))
            rows.append(f"<div>{_math(self.pen.text(e.left))}</div><div>{_math('<mo>=</mo>')}</div><div>{terms}</div>")
        groups += [_display(rows)] if rows else []
        return "\n".join(groups)

    def table(self, block: Table) -> str:
        head = "".join(f"<th>{self.say(p)}</th>" for p in block.head)
        rows = "\n".join("<tr>" + "".join(f"<td>{self.cell(c)}</td>" for c in row) + "</tr>" for row in block.rows)
        return f"<div class='scroll'><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"

    # -- diagram -------------------------------------------------------------------------------------------

    def diagram(self, block: Diagram) -> str:
        drawing = layout(block)
        lines = [
            f"<path d='M{x:.0f} {y:.0f} C{x + bend:.0f} {y:.0f} {u - bend:.0f} {v:.0f} {u:.0f} {v:.0f}'/>"
            for (x, y), (u, v), bend in drawing.curves
        ]
        boxes = []
        for node, x, y in drawing.boxes:
            text = f"<math>{self.pen.text(node.formula)}</math>"
            boxes.append(
                f"<g class='{node.kind}'><rect x='{x - 29}' y='{y - 17}' width='58' height='34' rx='9'/>"
                f"<foreignObject x='{x - 29}' y='{y - 17}' width='58' height='34'><div xmlns='http://www.w3.org/1999/xhtml'>{text}</div></foreignObject></g>"
            )
        label = escape(self.document.headline, quote=True)
        size = f"viewBox='0 0 {drawing.width} {drawing.height}' width='{drawing.width}' height='{drawing.height}'"
        inside = f"{_ARROW}<g class='wires'>{''.join(lines)}</g>{''.join(boxes)}"
        return f"<figure class='scroll'><svg role='img' aria-label='{label}' {size}>{inside}</svg></figure>"


def _math(inner: str) -> str:
    return f"<math displaystyle='true'>{inner}</math>"


def _display(rows: list[str]) -> str:
    """Three columns; the right one breaks its lines where the reader's window is narrow, first between summands."""
    columns = "display:grid;grid-template-columns:auto auto minmax(0,auto)"
    return f"<div class='scroll eq' style='{columns}'>{''.join(rows)}</div>"
