"""A page for the terminal: Unicode, wrapped to the width of a screen."""

from __future__ import annotations

import textwrap
from typing import Any

from symrnn.pages.document import (
    Block,
    Code,
    Diagram,
    Document,
    Equations,
    Fold,
    Mono,
    Phrase,
    Prose,
    Section,
    Table,
    Words,
)
from symrnn.pages.lines import broken, columns
from symrnn.pages.notation.plain import Plain
from symrnn.pages.phrases import spoken
from symrnn.pages.spell import Spelling

SUFFIX = ".txt"
WIDTH = 96


def render(document: Document, lang: str, fragment: bool = False) -> str:
    """The page; a fragment lacks the title."""
    writer = _Writer(document, lang)
    title = [] if fragment else [_wrapped(document.headline), _wrapped(document.remarks) if document.remarks else ""]
    return "\n\n".join(x for x in (*title, *(writer.section(s) for s in document.sections)) if x) + "\n"


class _Writer:
    def __init__(self, document: Document, lang: str) -> None:
        self.document, self.lang = document, lang
        self.pen = Spelling(Plain(), document.letters)

    def section(self, s: Section) -> str:
        title = self.say(s.title)
        blocks = "\n\n".join(x for x in map(self.block, s.blocks) if x)
        return f"{title}\n{'─' * columns(title)}\n{blocks}" if blocks else ""

    def block(self, block: Block) -> str:
        match block:
            case Prose():
                return _wrapped(" ".join(self.say(p) for p in block.phrases))
            case Equations():
                return self.equations(block)
            case Table():
                return self.table(block)
            case Code():
                return "\n".join(f"    {line}" for line in block.lines)
            case Fold():
                return "\n\n".join([self.say(block.summary), *map(self.block, block.blocks)])
            case Diagram():
                return ""

    def say(self, phrase: Phrase) -> str:
        return spoken(phrase, self.lang, _printable, self.pen.text)

    def cell(self, cell: Any) -> str:
        match cell:
            case Phrase():
                return self.say(cell)
            case Words() | Mono():
                return _printable(cell.text)
        return self.pen.text(cell)

    def equations(self, block: Equations) -> str:
        made = [(e, *broken(e, self.pen.to, self.document.letters, WIDTH)) for e in block.rows]
        widest = max((columns(left) for _, left, _ in made), default=0)
        out = []
        for e, left, lines in made:
            if e.note is not None:
                out += ["", _wrapped(self.say(e.note))]
            pad = " " * (widest - columns(left))
            out.append(f"  {pad}{left} = {lines[0]}")
            out += [f"  {' ' * widest}     {line.strip()}" for line in lines[1:]]
        return "\n".join(out).strip("\n")

    def table(self, block: Table) -> str:
        rows = [[self.say(p) for p in block.head], *([self.cell(c) for c in row] for row in block.rows)]
        widths = [max(columns(r[k]) for r in rows) for k in range(len(block.head))]
        return "\n".join(
            "  " + "  ".join(c + " " * (w - columns(c)) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows
        )


def _wrapped(text: str) -> str:
    return textwrap.fill(_printable(text), WIDTH)


def _printable(text: str) -> str:
    """Text without control characters, so that a file cannot steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
