"""The walk over the blocks of a page that every format takes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from symrnn.pages.document import (
    Block,
    Code,
    Diagram,
    Document,
    Equation,
    Equations,
    Fold,
    Mono,
    Phrase,
    Prose,
    Ref,
    Section,
    Table,
    Words,
    say,
)
from symrnn.pages.formulas.names import letter
from symrnn.pages.notation.spelling import Notation, Spelling
from symrnn.pages.phrases import spoken, table


class Writer(ABC):
    """A format says how it writes text, formulas and each kind of block, the plain ones by what stands around them.

    INLINE is a formula in a sentence, RANGE is ⋆ ∈ {i, f, o}, NOTE stands above a DISPLAY, whose rows NEXT separates.
    """

    INLINE, MONO, PROSE, CODE, RANGE = "{}", "{}", "{}", "{}", "{} ∈ {{{}}}"
    NOTE, DISPLAY, NEXT = "{}\n", "{}", "\n"

    def __init__(self, document: Document, lang: str, notation: Notation) -> None:
        self.document, self.lang = document, lang
        self.pen = Spelling(notation, document.letters)
        self.rows = {m.key: e.key for _, e in document.equations() for m in e.members}

    def block(self, block: Block) -> str:
        match block:
            case Prose():
                return self.prose(block)
            case Equations():
                return self.equations(block)
            case Table():
                return self.table(block)
            case Code():
                return self.code(block)
            case Fold():
                return self.fold(block)
            case Diagram():
                return self.diagram(block)

    def blocks(self, blocks: tuple[Block, ...]) -> str:
        return "\n\n".join(filter(None, map(self.block, blocks)))

    def prose(self, block: Prose) -> str:
        return self.PROSE.format(table(self.lang)["list.sentence"].join(map(self.say, block.phrases)))

    def code(self, block: Code) -> str:
        return self.CODE.format("\n".join(map(self.literal, block.lines)))

    def inline(self, formula: Any) -> str:
        return self.INLINE.format(self.pen.text(formula))

    def mono(self, text: str) -> str:
        return self.MONO.format(self.literal(text))

    def literal(self, text: str) -> str:
        """A text in which every letter counts."""
        return self.escape(text)

    def say(self, phrase: Phrase | None) -> str:
        """A sentence in the language of the page, if there is one."""
        return spoken(phrase, self.lang, self.escape, self._filled) if phrase else ""

    def _filled(self, gap: Any) -> str:
        return self.ref(gap) if isinstance(gap, Ref) else self.inline(gap)

    def ref(self, ref: Ref) -> str:
        """A link to an equation: its number, and at which later step it is meant."""
        linked = self.link(self.rows.get(ref.key, ref.key), self.number(ref.key))
        later = spoken(say("ref.later", later=ref.later), self.lang, self.escape, self.inline) if ref.later else ""
        return linked + later

    def number(self, key: str) -> str:
        """(3), or nothing for an equation without a key."""
        return f"({self.document.numbers[key]})" if key else ""

    def link(self, key: str, text: str) -> str:
        """A text that leads to the equation with that key; where nothing leads anywhere, the text."""
        return text

    def equations(self, block: Equations) -> str:
        made = [(note, self.NEXT.join(map(self.row, rows))) for note, rows in self.groups(block)]
        return "\n\n".join(self.NOTE.format(note) * bool(note) + self.DISPLAY.format(rows) for note, rows in made)

    def groups(self, block: Equations) -> Iterator[tuple[str, list[Equation]]]:
        """Rows that are aligned with each other, with the note that stands above them."""
        note, rows = "", list[Equation]()
        for e in block.rows:
            if e.note is not None:
                if rows:
                    yield note, rows
                note, rows = self.say(e.note), []
            rows.append(e)
        yield note, rows

    def over(self, e: Equation) -> str:
        """What the star of a row stands for, or nothing."""
        star, *members = (self.pen.to.name(x, None, "") for x in (letter("⋆"), *e.over))
        return self.RANGE.format(star, self.pen.to.op(",").join(members)) if members else ""

    def cell(self, cell: Any) -> str:
        """A cell of a table."""
        match cell:
            case Phrase():
                return self.say(cell)
            case Words():
                return self.escape(cell.text)
            case Mono():
                return self.mono(cell.text)
        return self._filled(cell)

    @abstractmethod
    def section(self, s: Section) -> str: ...
    @abstractmethod
    def escape(self, text: str) -> str: ...
    @abstractmethod
    def row(self, e: Equation) -> str: ...
    @abstractmethod
    def table(self, block: Table) -> str: ...
    @abstractmethod
    def fold(self, block: Fold) -> str: ...
    @abstractmethod
    def diagram(self, block: Diagram) -> str: ...


def anchor(key: str) -> str:
    """The key of an equation as part of a label or an address."""
    return re.sub(r"[^\w.-]", "", key.replace("⋆", "star"), flags=re.ASCII)
