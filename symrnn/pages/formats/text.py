"""A page for the terminal: Unicode, wrapped to the width of a screen."""

from __future__ import annotations

import re

from symrnn.pages.document import Code, Diagram, Document, Equation, Equations, Fold, Prose, Section, Table
from symrnn.pages.notation.lines import broken, columns
from symrnn.pages.notation.plain import Plain
from symrnn.pages.writer import Writer

SUFFIX = ".txt"
WIDTH = 96
_PIECE = re.compile(r"[\u2e80-\uffef]|[^\s\u2e80-\uffef]+ ?| ")
_CLOSING = "，。：；、）"


def render(document: Document, lang: str, fragment: bool = False) -> str:
    """The page; a fragment lacks the title."""
    writer = _Writer(document, lang)
    title = [] if fragment else [_wrapped(document.headline), _wrapped(document.remarks) if document.remarks else ""]
    return "\n\n".join(x for x in (*title, *(writer.section(s) for s in document.sections)) if x) + "\n"


class _Writer(Writer):
    widest = 0

    def __init__(self, document: Document, lang: str) -> None:
        super().__init__(document, lang, Plain())

    def section(self, s: Section) -> str:
        title = self.say(s.title)
        blocks = self.blocks(s.blocks)
        return f"{title}\n{'─' * columns(title)}\n{blocks}" if blocks else ""

    def escape(self, text: str) -> str:
        return _printable(text)

    def prose(self, block: Prose) -> str:
        return _wrapped(super().prose(block))

    def code(self, block: Code) -> str:
        return "\n".join(f"    {line}" for line in block.lines)

    def fold(self, block: Fold) -> str:
        return f"{self.say(block.summary)}\n\n{self.blocks(block.blocks)}"

    def diagram(self, block: Diagram) -> str:
        """A drawing of lines would say less than the equations."""
        return ""

    def equations(self, block: Equations) -> str:
        """Rows aligned at their equals signs."""
        self.widest = max((columns(self.pen.text(e.left)) for e in block.rows), default=0)
        return super().equations(block)

    def row(self, e: Equation) -> str:
        """A row in lines; its number, and before it what it follows from, at the right."""
        left, (first, *rest) = broken(e, self.pen.to, self.document.letters, WIDTH)
        lines = [f"{' ' * (2 + self.widest - columns(left))}{left} = {first}"]
        lines += [f"{' ' * (self.widest + 7)}{line.strip()}" for line in rest]
        lines[-1] += f"   {over}" if (over := self.over(e)) else ""
        if end := "  ".join(x for x in (self.say(e.by), self.number(e.key)) if x):
            lines += [""] if columns(lines[-1]) + columns(end) > WIDTH - 2 else []
            lines[-1] += " " * (WIDTH - columns(lines[-1]) - columns(end)) + end
        return "\n".join(lines)

    def table(self, block: Table) -> str:
        rows = [[self.say(p) for p in block.head], *([self.cell(c) for c in row] for row in block.rows)]
        widths = [max(columns(r[k]) for r in rows) for k in range(len(block.head))]
        return "\n".join(
            "  " + "  ".join(c + " " * (w - columns(c)) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        )


def _wrapped(text: str) -> str:
    """Lines of at most WIDTH columns, broken at spaces and beside Chinese signs."""
    lines = [""]
    for piece in _PIECE.findall(" ".join(_printable(text).split())):
        if columns(lines[-1]) + columns(piece.rstrip()) > WIDTH and piece not in _CLOSING:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines).rstrip()


def _printable(text: str) -> str:
    """Text without control characters, so that a file cannot steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
