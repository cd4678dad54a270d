"""A page as Markdown with $$, as code-hosting sites render it."""

from __future__ import annotations

import re
from html import escape as html_escape
from typing import Any

from symrnn.pages.document import Code, Diagram, Document, Equations, Fold, Phrase, Prose, Section, Table
from symrnn.pages.notation.latex import Latex
from symrnn.pages.notation.lines import broken, typeset
from symrnn.pages.phrases import spoken
from symrnn.pages.writer import Writer

SUFFIX = ".md"
WIDTH = 76
_MEANS_SOMETHING = re.compile(r"([\\`*_{}\[\]()#+!|$~])")


def render(document: Document, lang: str, fragment: bool = False) -> str:
    """The page; a fragment lacks the title."""
    writer = _Writer(document, lang)
    title = "" if fragment else f"# {_escape(document.headline)}\n\n{_escape(document.remarks)}\n\n"
    return title + "\n\n".join(writer.section(s) for s in document.sections) + "\n"


class _Writer(Writer):
    def __init__(self, document: Document, lang: str) -> None:
        super().__init__(document, lang, Latex())

    def section(self, s: Section) -> str:
        return f"## {self.say(s.title)}\n\n" + "\n\n".join(self.block(b) for b in s.blocks)

    def escape(self, text: str) -> str:
        """Text that Markdown and HTML take literally."""
        return _escape(text)

    def inline(self, formula: Any) -> str:
        return f"$`{self.pen.text(formula)}`$"

    def mono(self, text: str) -> str:
        return f"`{text}`"

    def prose(self, block: Prose) -> str:
        return self.said(block)

    def table(self, block: Table) -> str:
        head = " | ".join(self.say(p) for p in block.head)
        rows = "\n".join(f"| {' | '.join(self.cell(c) for c in row)} |" for row in block.rows)
        return f"| {head} |\n|{'---|' * len(block.head)}\n{rows}"

    def code(self, block: Code) -> str:
        return "```python\n" + "\n".join(block.lines) + "\n```"

    def fold(self, block: Fold) -> str:
        inner = "\n\n".join(self.block(b) for b in block.blocks)
        return f"<details>\n<summary>{html_escape(self.plain(block.summary))}</summary>\n\n{inner}\n\n</details>"

    def plain(self, phrase: Phrase) -> str:
        """A sentence where no Markdown is read."""
        return spoken(phrase, self.lang, lambda text: text, self.pen.text)

    def equations(self, block: Equations) -> str:
        groups: list[str] = []
        rows: list[str] = []
        for e in block.rows:
            left, lines = broken(e, self.pen.to, self.document.letters, WIDTH, typeset)
            made = " \\\\\n&\\qquad ".join([f"{left} &= {lines[0]}", *lines[1:]])
            if e.note is not None:
                groups += [_display(rows)] if rows else []
                groups.append(self.say(e.note))
                rows = []
            rows.append(made)
        return "\n\n".join([*groups, *([_display(rows)] if rows else [])])

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


def _display(rows: list[str]) -> str:
    body = " \\\\\n".join(rows)
    return f"$$\n\\begin{{aligned}}\n{body}\n\\end{{aligned}}\n$$"


def _escape(text: str) -> str:
    return _MEANS_SOMETHING.sub(r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
