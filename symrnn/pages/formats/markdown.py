"""A page as Markdown with $$, as code-hosting sites render it."""

from __future__ import annotations

import re
from html import escape as html_escape
from typing import Any

from symrnn.pages.document import Code, Diagram, Document, Equation, Fold, Ref, Section, Table
from symrnn.pages.formats.latex import TexWriter
from symrnn.pages.phrases import spoken
from symrnn.pages.writer import Writer

SUFFIX = ".md"
WIDTHS = (76, 108)


def render(document: Document, lang: str, fragment: bool = False) -> str:
    """The page; a fragment lacks the title."""
    writer = _Writer(document, lang, WIDTHS)
    title = "" if fragment else f"# {writer.escape(document.headline)}\n\n{writer.escape(document.remarks)}\n\n"
    return title + "\n\n".join(map(writer.section, document.sections)) + "\n"


class _Writer(TexWriter):
    """Formulas are TeX, all else is not."""

    INLINE, MONO, CODE = "$`{}`$", "`{}`", "```python\n{}\n```"
    NOTE, DISPLAY = "{}\n\n", "$$\n\\begin{{aligned}}\n{}\n\\end{{aligned}}\n$$"

    def section(self, s: Section, star: str = "") -> str:
        return f"## {self.say(s.title)}\n\n{self.blocks(s.blocks)}"

    def escape(self, text: str) -> str:
        """Text that Markdown and HTML take literally."""
        return html_escape(re.sub(r"([\\`*_{}\[\]()#+!|$~])", r"\\\1", text), quote=False)

    def link(self, key: str, text: str) -> str:
        return text

    def table(self, block: Table) -> str:
        head = " | ".join(self.say(p) for p in block.head)
        rows = "\n".join(f"| {' | '.join(map(self.cell, row))} |" for row in block.rows)
        return f"| {head} |\n|{'---|' * len(block.head)}\n{rows}"

    def literal(self, text: str) -> str:
        return text

    def code(self, block: Code) -> str:
        return Writer.code(self, block)

    def fold(self, block: Fold) -> str:
        """The summary stands in HTML, where no Markdown is read."""
        summary = html_escape(spoken(block.summary, self.lang, str, self.pen.text))
        return f"<details>\n<summary>{summary}</summary>\n\n{self.blocks(block.blocks)}\n\n</details>"

    def row(self, e: Equation) -> str:
        by = spoken(e.by, self.lang, _boxed, self._in_display) if e.by else ""
        end = "".join(rf" \qquad {x}" for x in (by, self.number(e.key)) if x)
        return self.NEXT.join(self.lines(e, self.width)) + end

    def _in_display(self, gap: Any) -> str:
        return self.number(gap.key) if isinstance(gap, Ref) else self.pen.text(gap)

    def diagram(self, block: Diagram) -> str:
        """Mermaid: names only, which are identifiers."""
        ids = {n.name: f"n{k}" for k, n in enumerate(block.nodes)}
        shape = {"input": ('(["', '"])'), "before": ('(["', '"])'), "state": ('[["', '"]]')}
        lines = []
        for n in block.nodes:
            left, right = shape.get(n.kind, ('["', '"]'))
            name, _, lag = n.name.partition("@")
            lines.append(f"  {ids[n.name]}{left}{name}{f'[t-{lag}]' if lag else ''}{right}")
        lines += [f"  {ids[a]} --> {ids[b]}" for a, b in block.arrows]
        return "```mermaid\nflowchart LR\n" + "\n".join(lines) + "\n```"


def _boxed(text: str) -> str:
    """Words in a formula, without what means something to TeX or Markdown."""
    return r"\text{" + re.sub(r"[^\w .,:;()–-]", "", text) + "}"
