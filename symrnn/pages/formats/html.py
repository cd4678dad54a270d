"""A page as one HTML file: MathML, drawings, folds, one script of its own and nothing fetched."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import escape

from symrnn import emit
from symrnn.pages.document import Diagram, Document, Equation, Equations, Fold, Section, Table, say
from symrnn.pages.drawing import layout
from symrnn.pages.formats.latex import TexWriter
from symrnn.pages.notation.mathml import Mathml
from symrnn.pages.phrases import table
from symrnn.pages.writer import Writer, anchor

SUFFIX = ".html"
_ARROW = (
    "<defs><marker id='tip' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
    "<path d='M0 0 L8 4 L0 8 z'/></marker></defs>"
)


def render(document: Document, lang: str, fragment: bool = False, links: str = "") -> str:
    """The page; `links` is HTML that a book puts above and below it."""
    writer = HtmlWriter(document, lang, f"{document.name}-" if fragment else "")
    if fragment:
        return _scoped(writer.body(), lang)
    title = f"{escape(document.headline)} ({escape(document.name)})"
    return page(title, lang, writer.body() + writer.glossary(), writer.contents(), links)


def page(title: str, lang: str, body: str, contents: str = "", links: str = "") -> str:
    """A file of HTML; its one script is known by its hash, and no other can run."""
    script = emit.render("pages/page.js.j2", {})
    given = {"title": title, "lang": lang, "body": body, "contents": contents, "links": links, "script": script}
    digest = b64encode(sha256(script.encode()).digest()).decode()
    words = {k: escape(table(lang)[f"page.{k}"]) for k in ("skip", "copy", "copied", "fold", "unfold")}
    return emit.render("pages/page.html.j2", given | {"digest": digest, "words": words})


def notebook(document: Document, lang: str) -> str:
    """What a notebook shows of a cell: its equations, and the derivation to be opened below them."""
    writer = HtmlWriter(document, lang, f"{document.name}-")
    plain = [replace(e, key="", by=None, note=None) for where, e in document.equations() if where == "forward"]
    name = f"<p class='name'><code>{escape(document.name)}</code> {escape(document.headline)}</p>"
    summary = f"<summary>{writer.say(say('page.derivation'))}</summary>"
    sections = "\n".join(map(writer.section, document.sections))
    shown = writer.equations(Equations(tuple(plain)))
    return _scoped(f"{name}{shown}<details class='fold'>{summary}{sections}</details>", lang)


def _scoped(body: str, lang: str) -> str:
    return emit.render("pages/fragment.html.j2", {"body": body, "lang": lang})


class HtmlWriter(Writer):
    """Writes blocks; ids begin with `prefix`, so that fragments of several cells may share a page."""

    INLINE, MONO, PROSE, CODE = "<math>{}</math>", "<code>{}</code>", "<p>{}</p>", "<pre><code>{}</code></pre>"
    NOTE, DISPLAY, NEXT = "<p class='step'>{}</p>\n", "<div class='eq'>{}</div>", ""
    RANGE = "<mrow>{}<mo>∈</mo><mo stretchy='false'>{{</mo>{}<mo stretchy='false'>}}</mo></mrow>"

    def __init__(self, document: Document, lang: str, prefix: str = "") -> None:
        super().__init__(document, lang, Mathml())
        self.prefix, self.tex = prefix, TexWriter(document, lang)

    def body(self) -> str:
        d = self.document
        head = f"<header><p class='name'><code>{escape(d.name)}</code></p><h1>{escape(d.headline)}</h1>"
        remarks = f"<p class='remarks'>{escape(d.remarks)}</p>" if d.remarks else ""
        return f"{head}{remarks}</header>\n" + "\n".join(map(self.section, d.sections))

    def contents(self) -> str:
        items = "".join(f"<li><a href='#{s.anchor}'>{self.say(s.title)}</a></li>" for s in self.document.sections)
        return f"<nav aria-label='{self.say(say('title.contents'))}'><ol>{items}</ol></nav>"

    def glossary(self) -> str:
        """What is shown beside a symbol: meaning, shape, number of its equation; hidden until the script asks."""
        rows = []
        for name, (meaning, shape, key) in self.document.glossary.items():
            number = self.link(self.rows.get(key, key), self.number(key)) if key else ""
            shown = f"<span>{self.cell(meaning)}</span> <code>{escape(shape)}</code> {number}"
            rows.append(f"<dt>{escape(name)}</dt><dd data-s='{escape(name)}'>{shown}</dd>")
        return f"\n<dl id='glossary' hidden>{''.join(rows)}</dl>" if rows else ""

    def section(self, s: Section) -> str:
        inside = f"<details open><summary><h2>{self.say(s.title)}</h2></summary>\n{self.blocks(s.blocks)}</details>"
        return f"<section id='{self.prefix}{s.anchor}'>{inside}</section>"

    def escape(self, text: str) -> str:
        return escape(text)

    def fold(self, block: Fold) -> str:
        summary = f"<summary>{self.say(block.summary)}</summary>"
        return f"<details class='fold'{' open' * block.open}>{summary}\n{self.blocks(block.blocks)}</details>"

    def table(self, block: Table) -> str:
        head = "".join(f"<th scope='col'>{self.say(p)}</th>" for p in block.head)
        rows = "\n".join("<tr>" + "".join(f"<td>{self.cell(c)}</td>" for c in row) + "</tr>" for row in block.rows)
        return f"<div class='scroll'><table><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"

    # -- equations -----------------------------------------------------------------------------------------

    def link(self, key: str, text: str) -> str:
        return f"<a href='#{self.id(key)}'>{text}</a>"

    def id(self, key: str) -> str:
        return f"{self.prefix}eq-{anchor(key)}"

    def row(self, e: Equation) -> str:
        """A row; its right side breaks where the window is narrow, first between summands. Members lead to it too."""
        terms = "".join(f"<span>{''.join(map(_math, term))}</span>" for term in self.pen.groups(e.right))
        terms += f"<span class='over'>{_math(over)}</span>" if (over := self.over(e)) else ""
        terms += f"<small class='by'>{by}</small>" if (by := self.say(e.by)) else ""
        place = f" id='{self.id(e.key)}'" if e.key else ""
        others = "".join(f"<i id='{self.id(m.key)}'></i>" for m in e.members if m.key and e.key)
        side = others + (self.link(e.key, self.number(e.key)) if e.key else "")
        left = f"<div>{_math(self.pen.text(e.left))}</div><div>{_math('<mo>=</mo>')}</div>"
        tex = escape(self.tex.copied(e))
        return f"<div class='row'{place} data-tex='{tex}'>{left}<div>{terms}</div><div class='side'>{side}</div></div>"

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
